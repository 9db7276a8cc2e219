//! The notebook's experiment has the notebook's results, from the start and from a checkpoint.

use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::checkpoint::Checkpoint;
use rekindle::train::{Control, Run, Setting, Sink, StepRecord, from_file};
use serde::Deserialize;

const LINES: &str = "\
epoch 01 | lr=0.099391 | loss=8.1559
epoch 02 | lr=0.097577 | loss=6.6710
epoch 03 | lr=0.094605 | loss=5.3163
epoch 04 | lr=0.090546 | loss=3.8573
epoch 05 | lr=0.085502 | loss=2.4531
epoch 06 | lr=0.079595 | loss=1.3830
epoch 07 | lr=0.072973 | loss=0.7649
epoch 08 | lr=0.065796 | loss=0.4699
epoch 09 | lr=0.058244 | loss=0.3321
epoch 10 | lr=0.050500 | loss=0.2622
epoch 11 | lr=0.042756 | loss=0.2230
epoch 12 | lr=0.035204 | loss=0.1989
epoch 13 | lr=0.028027 | loss=0.1832
epoch 14 | lr=0.021405 | loss=0.1727
epoch 15 | lr=0.015498 | loss=0.1655
epoch 16 | lr=0.010454 | loss=0.1606
epoch 17 | lr=0.006395 | loss=0.1574
epoch 18 | lr=0.003423 | loss=0.1553
epoch 19 | lr=0.001609 | loss=0.1540
epoch 20 | lr=0.001000 | loss=0.1534
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the stdout of `train`, run in `folder`.
fn train(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_train")).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_example_prints_the_lines_of_the_notebook() {
    let folder = tempfile::tempdir().unwrap();
    let config = root().join("examples/notebook.toml");
    assert_eq!(train(folder.path(), &[config.to_str().unwrap()]), LINES);
}

#[test]
fn the_checkpoint_in_the_repository_continues_from_epoch_10_and_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let sample = root().join("checkpoints/notebook");
    let before = contents(&sample);
    let printed = train(folder.path(), &["--resume", sample.to_str().unwrap()]);
    let last_ten = LINES.lines().skip(10).map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(printed, last_ten);
    assert_eq!(contents(&sample), before);
    let again = train(folder.path(), &["--resume", sample.to_str().unwrap()]);
    assert_eq!(again, last_ten, "the first resume is not in the way of a second");
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[derive(Deserialize)]
struct Reference {
    runs: Vec<ReferenceRun>,
}

#[derive(Deserialize)]
struct ReferenceRun {
    name: String,
    rows: Vec<Row>,
    /// The first elements of each tensor after the last epoch.
    r#final: std::collections::BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Row {
    lr: Vec<f64>,
    loss: f64,
}

#[derive(Default)]
struct Epochs(Vec<StepRecord>);

impl Sink for Epochs {
    fn record(&mut self, record: &StepRecord) {
        self.0.extend(record.epoch_loss.map(|_| record.clone()));
    }
}

/// Equivalents of PyTorch's runs, in the order of the file.
const RUNS: [&[&str]; 6] = [
    &[],
    &["schedule=step(5, gamma=0.1)"],
    &["optimizer={kind='sgd', lr=0.02, momentum=0.9, nesterov=true, weight_decay=1e-3}"],
    &["optimizer={kind='adamw', lr=0.01, weight_decay=0.01}", "schedule=step(5, gamma=0.1)"],
    &["optimizer={kind='adam', lr=0.01}", "train.clip_norm=1.0"],
    &[
        "optimizer={kind='adamw', lr=0.01, weight_decay=0.1, groups=[{parameters=['2.*'], lr=0.001}]}",
        "schedule=cosine(20, eta_min=1e-5)",
    ],
];

/// PyTorch's own numbers. Losses agree within 1e-4 relative, because f32 sums have another order; rates within 1e-12,
/// because f64 formulas are evaluated in another order.
#[test]
fn all_six_runs_agree_with_pytorch() {
    let text = std::fs::read_to_string(root().join("tests/data/notebook_runs.json")).unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    assert_eq!(reference.runs.len(), RUNS.len());
    for (expected, settings) in reference.runs.iter().zip(RUNS) {
        let folder = tempfile::tempdir().unwrap();
        let settings: Vec<Setting> = settings.iter().map(|text| Setting::parse(text).unwrap()).collect();
        let config = from_file(&root().join("examples/notebook.toml"), &settings).unwrap();
        let mut run = Run::start(config, &folder.path().join("run"), Control::new()).unwrap();
        let mut epochs = Epochs::default();
        run.train(&mut epochs).unwrap();
        assert_eq!(epochs.0.len(), expected.rows.len());
        for (epoch, row) in epochs.0.iter().zip(&expected.rows) {
            let place = format!("{}, epoch {}", expected.name, epoch.epoch);
            let loss = epoch.epoch_loss.unwrap();
            assert!((loss / row.loss - 1.0).abs() < 1e-4, "{place}: loss {loss} not {}", row.loss);
            assert_eq!(epoch.next.len(), row.lr.len(), "{place}");
            for (rate, lr) in epoch.next.iter().zip(&row.lr) {
                assert!((rate.lr / lr - 1.0).abs() < 1e-12, "{place}: rate {} not {lr}", rate.lr);
            }
        }
        check_weights(&run, expected);
    }
}

/// The last weights: 2e-4 of a weight's size, or of 0.1 where it is smaller, after twenty updates in f32.
fn check_weights(run: &Run, expected: &ReferenceRun) {
    let checkpoint = Checkpoint::read(run.last_checkpoint().unwrap()).unwrap();
    let model = checkpoint.state("model").unwrap();
    for (name, first) in &expected.r#final {
        let bytes = &model.tensors[name].bytes;
        let weights = bytes.as_chunks::<4>().0.iter().map(|chunk| f64::from(f32::from_le_bytes(*chunk)));
        for (weight, expected_weight) in weights.zip(first) {
            let difference = (weight - expected_weight).abs() / expected_weight.abs().max(0.1);
            assert!(difference < 2e-4, "{}: {name} has {weight}, not {expected_weight}", expected.name);
        }
    }
}
