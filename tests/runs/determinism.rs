//! One configuration has one result: for any directory, any number of threads, and any change of the number.

use std::fs;

use crate::common::{ADAMW_IN_TWO_GROUPS, EVERY_STEP, Ended, Lab, assert_same_bits, checkpoint, small, steps};

#[test]
fn two_fresh_runs_of_one_configuration_have_the_same_bits() {
    let lab = Lab::new(&small(ADAMW_IN_TWO_GROUPS, "warmup(4) -> cosine(8)", EVERY_STEP));
    let (one, two) = (lab.start("one"), lab.start("two"));
    assert_eq!(one.stdout, two.stdout);
    assert_same_bits(&lab.path("one"), &lab.path("two"));
}

#[test]
fn another_seed_has_other_bits() {
    let lab = Lab::new(&small(ADAMW_IN_TWO_GROUPS, "cosine(12)", EVERY_STEP));
    lab.start("one");
    lab.train(&["config.toml", "--out", "other", "--set", "seed=4"]).well();
    for step in [0, 12] {
        let weights = |run| fs::read(checkpoint(&lab.path(run), step).join("model.safetensors")).unwrap();
        assert!(weights("one") != weights("other"), "step {step}");
    }
}

/// Wide enough that weights, activations and dropout masks are all worked on in several chunks: a hidden layer's
/// activations are 256 by 300 numbers, its weights 300 by 300.
const WIDE: &str = r#"
    seed = 5
    [data]
    path = "digits.csv.gz"
    header = false
    validation = 0.2
    batch_size = 256
    [model]
    kind = "mlp"
    hidden = [300, 300]
    dropout = 0.2
    [optimizer]
    kind = "adamw"
    lr = 2e-3
    [schedule]
    kind = "cosine"
    t_max = "100%"
    [train]
    steps = 10
    clip_norm = 1.0
    [checkpoint]
    every = "5 steps"
"#;

fn wide() -> Lab {
    let lab = Lab::new(WIDE);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv.gz"), lab.path("digits.csv.gz")).unwrap();
    lab
}

fn train_with(lab: &Lab, threads: &str, arguments: &[&str]) -> Ended {
    Ended::from(lab.command(arguments).env("RAYON_NUM_THREADS", threads).output().unwrap()).well()
}

/// How many threads wrote the newest checkpoint of a run.
fn threads(lab: &Lab, run: &str) -> u64 {
    let newest = *steps(&lab.path(run)).last().unwrap();
    let manifest = fs::read(checkpoint(&lab.path(run), newest).join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["written_by"]["threads"].as_u64().unwrap()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for optimizer in ["adamw", "adam", "sgd"] {
        let lab = wide();
        let kind = format!("optimizer={{kind='{optimizer}', lr=2e-3}}");
        for number in ["1", "2", "3", "4"] {
            train_with(&lab, number, &["config.toml", "--out", number, "--set", &kind]);
            assert_eq!(threads(&lab, number).to_string(), number);
            assert_same_bits(&lab.path("1"), &lab.path(number));
        }
    }
}

#[test]
fn a_run_resumed_with_another_number_of_threads_has_the_same_bits_and_no_word_of_warning() {
    let lab = wide();
    train_with(&lab, "1", &["config.toml", "--out", "whole"]);
    for number in ["2", "4"] {
        let copy = lab.interrupted_copy("whole", number, 5);
        let resumed = train_with(&lab, number, &["--resume", number]);
        assert!(!resumed.stderr.contains("not promised"), "{}", resumed.stderr);
        assert_same_bits(&lab.path("whole"), &copy);
    }
}

/// Large enough that every operation of a GPT works in several chunks: 12 rows of 64 tokens, 96 wide.
const GPT: &str = r#"
    seed = 5
    train = { steps = 3, clip_norm = 1.0 }
    validation = { every = "3 steps" }
    checkpoint = { every = "3 steps" }
    [data]
    path = "a.txt"
    format = "text"
    context = 64
    validation = 0.1
    batch_size = 12
    cache = "cache"
    [model]
    kind = "gpt"
    layers = 2
    heads = 4
    width = 96
    dropout = 0.1
    [optimizer]
    kind = "adamw"
    lr = 2e-3
"#;

#[test]
fn a_gpt_has_the_same_bits_for_any_number_of_threads_and_with_activations_computed_again() {
    let llama = "kv_heads = 2\n    positions = \"rotary\"\n    activation = \"swiglu\"\n    norm = \"rms\"\n    [opt";
    for config in [GPT.to_owned(), GPT.replace("[opt", llama)] {
        let lab = Lab::new(&config);
        let text: String = (0..6000u32).map(|i| char::from(b'A' + (i * i / 11 % 50) as u8)).collect();
        fs::write(lab.path("a.txt"), text).unwrap();
        for number in ["1", "2", "3", "4"] {
            train_with(&lab, number, &["config.toml", "--out", number]);
            assert_same_bits(&lab.path("1"), &lab.path(number));
        }
        let again = ["config.toml", "--out", "again", "--set", "model.checkpoint_activations=true"];
        train_with(&lab, "2", &again);
        let weights = |run| fs::read(checkpoint(&lab.path(run), 3).join("model.safetensors")).unwrap();
        assert!(weights("again") == weights("1"), "activations computed again give other bits");
    }
}
