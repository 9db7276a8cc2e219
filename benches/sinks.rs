//! Cost of the writers of a run: `cargo bench --bench sinks`.
//!
//! The digits run and that of a GPT on text, each with nothing but `log.jsonl`, which a resume needs, and with the console
//! and TensorBoard too. They take turns, so that another program on the machine slows both; the ratio of their median
//! speeds should be above 0.99. `SECONDS` is the least time of a run, `TURNS` the number of them.

use std::path::Path;
use std::time::Instant;

use rekindle::train::{Console, Control, Run, Setting, Sink, from_file};

fn main() {
    let number =
        |name: &str, usual: usize| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual);
    let (seconds, turns) = (number("SECONDS", 5), number("TURNS", 9));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{cores} cores, load before: {}", load.trim());
    for (example, epochs) in [("digits.toml", 30), ("text.toml", 1)] {
        let length = |epochs: usize| format!("train.epochs={epochs}");
        let (_, took) = speed(example, &length(epochs), false);
        let epochs = length((epochs as f64 * (seconds as f64 / took).max(1.0)).ceil() as usize);
        let (mut bare, mut all) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            bare.push(speed(example, &epochs, false).0);
            all.push(speed(example, &epochs, true).0);
        }
        let ratios: Vec<f64> = all.iter().zip(&bare).map(|(all, bare)| all / bare).collect();
        let (bare, all, pairs) = (median(bare), median(all), median(ratios));
        println!(
            "{example}: {bare:.1} steps/s with log.jsonl, {all:.1} with all, ratio {:.4}, of pairs {pairs:.4}",
            all / bare
        );
    }
}

/// Returns the steps in a second, and the seconds.
fn speed(example: &str, epochs: &str, with_all: bool) -> (f64, f64) {
    let log = format!("log.tensorboard={with_all}");
    let settings = [epochs, log.as_str()].map(|text| Setting::parse(text).expect("a setting"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let config = from_file(&path, &settings).expect("an example");
    let mut run = Run::start(config, &folder.path().join("run"), Control::new()).expect("a run");
    let (mut console, mut nothing) = (Console::new(), ());
    let sink: &mut dyn Sink = if with_all { &mut console } else { &mut nothing };
    let (began, steps) = (Instant::now(), run.session().total_steps());
    run.train(sink).expect("training");
    let took = began.elapsed().as_secs_f64();
    (steps as f64 / took, took)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
