//! Real processes that are killed, sent signals, started twice, or compared by `train prove`.

#[path = "../common/mod.rs"]
mod common;

mod ctrl_c;
mod kill;
mod one_writer;
mod prove;
mod prove_others;
mod signals;
mod supervise;
mod sweep;

/// Long enough for 40 kills: thousands of updates, and hundreds of saves for the kills to hit.
const LONG: &str = r#"
    seed = 3
    optimizer = { kind = "adamw", lr = 1e-3 }
    schedule = "warmup(10%) -> cosine(90%)"
    train = { steps = 4000, clip_norm = 1.0 }
    checkpoint = { every = "20 steps" }
    [data]
    path = "data.csv"
    validation = 0.2
    batch_size = 13
    [model]
    kind = "mlp"
    hidden = [32, 32]
    dropout = 0.3
"#;
