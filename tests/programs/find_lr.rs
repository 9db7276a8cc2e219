//! `train find-lr` as a program: its results and files, what it does not change, and what it refuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::common::programs::{TRAIN, Told, Workplace};
use rekindle::train::{Control, RangeTestOptions, from_file};
use resvg::usvg::roxmltree::Document;

/// A sweep that ends before anything diverges.
const CALM: [&str; 8] = ["find-lr", "config.toml", "--start", "1e-3", "--end", "0.5", "--steps", "60"];
const WRITTEN: &str = "runs/config-find-lr";

fn find_lr(place: &Workplace, more: &[&str]) -> Told {
    place.train(&[CALM.as_slice(), more].concat())
}

/// The rows of the table: rate, loss and smoothed loss.
fn rows(place: &Workplace, folder: &str) -> Vec<[f64; 3]> {
    let csv = fs::read_to_string(place.path(folder).join("find-lr.csv")).unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    assert_eq!(header, "lr,loss,smoothed_loss");
    let row = |row: &str| row.split(',').map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>().try_into().unwrap();
    rows.lines().map(row).collect()
}

#[test]
fn it_writes_a_table_and_a_picture_and_prints_a_plot_with_a_suggestion() {
    let place = Workplace::new();
    let told = find_lr(&place, &[]);
    told.says(0, &[]);
    assert_eq!(told.err, "");
    for part in ["Learning-rate range test of config", "a smoothed   b loss of a batch", "┊suggested", WRITTEN] {
        assert!(told.out.contains(part), "{part} is not in: {}", told.out);
    }
    let rows = rows(&place, WRITTEN);
    assert_eq!(rows.len(), 60);
    let (first, last) = (rows[0], rows[59]);
    assert!(first[0] == 1e-3 && (last[0] - 0.5).abs() < 1e-12, "{first:?} {last:?}");
    assert!(rows.is_sorted_by(|a, b| a[0] < b[0]), "rates rise from step to step");

    // The suggestion is one of the rates tried, can be copied, and is marked in the chart.
    let (_, suggested) = told.out.split_once("suggested lr=").unwrap();
    let (suggested, rest) = suggested.split_once("; ").unwrap();
    let value: f64 = suggested.parse().unwrap();
    assert!(rows.iter().any(|row| (row[0] / value - 1.0).abs() < 0.006), "{suggested} was not tried");
    let advice = format!("to train with it: train config.toml --set optimizer.lr={suggested}");
    assert!(rest.starts_with(&advice), "{rest}");
    place.train(&["config.toml", "--set", &format!("optimizer.lr={suggested}")]).says(0, &["done: 20 steps"]);
    let svg = fs::read_to_string(place.path(WRITTEN).join("find-lr.svg")).unwrap();
    let document = Document::parse(&svg).unwrap();
    let words: Vec<&str> = document.descendants().filter_map(|node| node.text()).map(str::trim).collect();
    let mark = format!("suggested {suggested}");
    for word in ["learning rate", "loss", "smoothed", "loss of a batch", "0.01", "0.1", &mark] {
        assert!(words.contains(&word), "{word} is not in {words:?}");
    }
}

#[test]
fn the_same_test_finds_the_same() {
    let (one, two) = (Workplace::new(), Workplace::new());
    assert_eq!(find_lr(&one, &[]).out, find_lr(&two, &[]).out);
    let again = find_lr(&one, &["--out", "elsewhere/deep"]);
    again.says(0, &[]);
    for name in ["find-lr.csv", "find-lr.svg"] {
        let read = |place: &Workplace, folder: &str| fs::read(place.path(folder).join(name)).unwrap();
        assert!(read(&one, WRITTEN) == read(&two, WRITTEN), "{name}");
        assert!(read(&one, WRITTEN) == read(&one, "elsewhere/deep"), "{name}");
    }
}

#[test]
fn a_run_of_the_same_configuration_is_not_changed() {
    let place = Workplace::new();
    place.train(&["config.toml"]).says(0, &["done: 20 steps"]);
    let before = place.files();
    find_lr(&place, &[]).says(0, &[]);
    let mut after = place.files();
    after.retain(|path, _| !path.starts_with(place.path(WRITTEN)));
    assert!(after == before, "something else was written than what was found");
}

/// Also if there is already a run of the configuration.
#[test]
fn the_command_to_copy_works() {
    let place = Workplace::new();
    for run in ["config", "config-2"] {
        let told = find_lr(&place, &[]);
        let command = told.out.split("to train with it: train ").nth(1).unwrap().lines().next().unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        place.train(&words).says(0, &["done: 20 steps", &format!("checkpoint: runs/{run}/checkpoints")]);
    }
}

#[test]
fn a_loss_that_diverges_ends_the_sweep() {
    let place = Workplace::new();
    let calm = find_lr(&place, &[]);
    calm.says(0, &[]);
    assert!(!calm.out.contains("diverged"), "{}", calm.out);
    let wild = place.train(&["find-lr", "config.toml", "--start", "0.1", "--end", "1e6", "--steps", "200"]);
    wild.says(0, &[]);
    let rows = rows(&place, WRITTEN);
    assert!(rows.len() > 10 && rows.len() < 100, "{}", rows.len());
    assert!(rows.iter().flatten().all(|number| number.is_finite()));
    let last = format!("the loss diverged beyond lr={:.2e}", rows.last().unwrap()[0]);
    assert!(wild.out.contains(&last) && wild.out.contains("suggested lr="), "{}", wild.out);
}

/// Like Ctrl-C.
#[test]
fn a_stop_ends_the_sweep_and_what_was_found_is_kept() {
    let place = Workplace::new();
    let (config, control) = (from_file(&place.path("config.toml"), &[]).unwrap(), Control::new());
    let options = RangeTestOptions::default();
    let mut told = Vec::new();
    let mut watch = |made, lr, loss| {
        told.push((lr, loss));
        if made == 7 {
            control.stop(2);
        }
    };
    let test = rekindle::train::find_lr(config, options, &control, &mut watch).unwrap();
    assert_eq!((test.stopped, test.diverged), (Some(2), false));
    assert_eq!(told.len(), 7);
    assert_eq!(told, test.points.iter().map(|point| (point.lr, point.loss)).collect::<Vec<_>>());
}

/// The same as a program, at any point of its progress.
#[test]
fn a_signal_ends_the_sweep_and_its_table_is_written() {
    let place = Workplace::new();
    let endless = ["find-lr", "config.toml", "--end", "1.1e-6", "--steps", "100000000"];
    let stopped_after = |delay: u64| -> Told {
        let mut command = place.command(TRAIN, &endless);
        let test = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        sleep(Duration::from_millis(delay));
        assert!(Command::new("kill").arg(test.id().to_string()).status().unwrap().success());
        test.wait_with_output().unwrap().into()
    };
    // Before its handlers are installed, or its first step, nothing is kept.
    let mut tries = (5..15).map(|power| stopped_after(1 << power));
    let told = tries.find(|told| told.code == Some(143) && told.out.contains("stopped at lr=")).unwrap();
    told.says(143, &["SIGTERM: stopping after this step; the results are kept"]);
    assert!(!rows(&place, WRITTEN).is_empty());
    let is_told = ["no suggestion, because the test was stopped too early", "so far the loss fell fastest at"];
    assert!(is_told.iter().any(|told_of| told.out.contains(told_of)), "{}", told.out);
    assert!(!told.out.contains("the loss did not fall"), "{}", told.out);
}

#[test]
fn a_loss_that_does_not_fall_suggests_nothing() {
    let place = Workplace::new();
    // With all rows in every batch, so that no batch is better by chance.
    let settings = ["--set", "data.batch_size='all'", "--start", "1e-12", "--end", "1e-11"];
    let low = place.train(&[&["find-lr", "config.toml"], settings.as_slice()].concat());
    low.says(0, &[]);
    let advice = "no suggestion, because the loss did not fall; try another range with --start and --end\n";
    assert!(low.out.contains(advice) && !low.out.contains("suggested"), "{}", low.out);
}

#[test]
fn settings_are_changed_for_the_test_alone() {
    let place = Workplace::new();
    find_lr(&place, &[]).says(0, &[]);
    let usual = rows(&place, WRITTEN);
    find_lr(&place, &["--out", "other", "--set", "seed=8", "--set", "model.hidden=[4]"]).says(0, &[]);
    assert_ne!(rows(&place, "other")[0][1], usual[0][1]);
    // The base rate and the schedule do not matter.
    find_lr(&place, &["--out", "same", "--set", "optimizer.lr=3.0", "--set", "schedule=step(2)"]).says(0, &[]);
    assert_eq!(rows(&place, "same"), usual);
    place.train_refuses(&["find-lr", "config.toml", "--set", "optimizer.lrr=1"], &["optimizer.lrr", "did you mean"]);
}

#[test]
fn what_is_no_sweep_is_refused_by_the_name_of_its_option() {
    let place = Workplace::new();
    let refused: [(&[&str], &[&str]); 12] = [
        (&["--start", "0.1", "--end", "0.01"], &["--end = 0.01", "above the rate of the first step, 0.1"]),
        (&["--start", "0.1", "--end", "0.1"], &["--end = 0.1"]),
        (&["--start", "0"], &["--start = 0:", "above 0"]),
        (&["--start", "-1"], &["--start = -1:"]),
        (&["--start", "nan"], &["--start = NaN:"]),
        (&["--start", "inf"], &["--start = inf:"]),
        (&["--start", "much"], &["--start much: must be a number"]),
        (&["--end", "nan"], &["--end = NaN:"]),
        (&["--end", "inf"], &["--end = inf:"]),
        (&["--steps", "0"], &["--steps = 0:", "at least 2"]),
        (&["--steps", "1"], &["--steps = 1:"]),
        (&["--steps", "-5"], &["--steps -5: must be a whole number, at least 0"]),
    ];
    for (options, parts) in refused {
        place.train_refuses(&[&["find-lr", "config.toml"], options].concat(), parts);
    }
    for url in ["s3://bucket/x", "s3:/bucket/x"] {
        place.train_refuses(&["find-lr", "config.toml", "--out", url], &["--out s3:/", "give a folder"]);
    }
}

#[test]
fn what_cannot_be_read_or_written_is_said() {
    let place = Workplace::new();
    place.train_refuses(&["find-lr", "none.toml"], &["cannot read the configuration none.toml"]);
    let missing = ["find-lr", "config.toml", "--set", "data.path=none.csv"];
    place.train_refuses(&missing, &["none.csv", "set `data.path` to its path"]);
    let taken = ["find-lr", "config.toml", "--out", "rows.csv"];
    place.train_refuses(&taken, &["rows.csv cannot be written", "choose another place with --out"]);
    assert!(!Path::new(&place.path("runs")).exists());
}
