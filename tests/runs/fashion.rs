//! The ConvNet of `examples/fashion.toml` learns from Debian's Fashion-MNIST: a short part of the example's run.

use std::fs;
use std::path::Path;

use crate::common::{Lab, log};

/// A cycle of 200 steps instead of 7,504 reaches 0.82. The result of the whole run is in the head of the example.
#[test]
fn two_hundred_steps_on_fashion_mnist_classify_three_of_four_pictures() {
    if !Path::new("/usr/share/datasets/fashion-mnist").exists() {
        eprintln!("SKIPPED: Fashion-MNIST is not here; apt-get install dataset-fashion-mnist");
        return;
    }
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fashion.toml")).unwrap();
    let lab = Lab::new(&example);
    let settings = ["train.steps=200", "validation.every=200 steps", "checkpoint.every=1000 steps"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = ["config.toml", "--out", "run"].into_iter().chain(settings).collect();
    lab.train(&arguments).well();
    let log = log(&lab.path("run"));
    let accuracy = log[199]["val_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.75, "{accuracy}");
}
