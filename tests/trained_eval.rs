//! `train eval`: what a run has learned, measured again, on its own rows and on others.

mod common;

use std::fs;

use common::{ADAMW, EVERY_STEP, Lab, checkpoint, log, small};
use serde_json::Value;

/// A finished run `run` of twelve updates, validated after every second and saved after each.
fn lab() -> Lab {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("run");
    lab
}

fn eval(lab: &Lab, arguments: &[&str]) -> Value {
    let told = lab.train(&[&["eval", "--json"], arguments].concat()).well();
    serde_json::from_str(&told.stdout).unwrap()
}

/// Loss and accuracy, by their bits.
fn figures(found: &Value) -> (u64, u64) {
    let bits = |name: &str| found[name].as_f64().unwrap().to_bits();
    (bits("loss"), bits("accuracy"))
}

#[test]
fn an_evaluation_repeats_what_the_log_said() {
    let lab = lab();
    for line in log(&lab.path("run")).iter().filter(|line| !line["val_loss"].is_null()) {
        let step = line["step"].as_u64().unwrap() + 1;
        let saved = checkpoint(&lab.path("run"), step);
        for threads in ["1", "3"] {
            let mut command = lab.command(&["eval", saved.to_str().unwrap(), "--json"]);
            let told = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
            let found: Value = serde_json::from_slice(&told.stdout).unwrap();
            assert_eq!((&found["step"], &found["rows"]), (&step.into(), &12.into()));
            let logged = ["val_loss", "val_accuracy"].map(|name| line[name].as_f64().unwrap().to_bits());
            assert_eq!(figures(&found), logged.into(), "step {step}, {threads} threads");
        }
    }
    let (newest, last) = (eval(&lab, &["run"]), log(&lab.path("run")).pop().unwrap());
    assert_eq!(newest["loss"], last["val_loss"]);
    // A person is told the same figures.
    let told = lab.train(&["eval", "run"]).well();
    let (loss, accuracy) = (newest["loss"].as_f64().unwrap(), newest["accuracy"].as_f64().unwrap());
    let expected = "run/checkpoints/step-0000000012 on validation rows\nrows=12";
    assert_eq!(told.stdout, format!("{expected} | loss={loss} | accuracy={accuracy}\n"));
    assert_eq!(told.stderr, "");
}

#[test]
fn any_rows_of_the_run_can_be_chosen() {
    let lab = lab();
    let [validation, train, all] = ["validation", "train", "all"].map(|rows| eval(&lab, &["run", "--rows", rows]));
    let number = |found: &Value, name: &str| found[name].as_f64().unwrap();
    assert_eq!([&validation, &train, &all].map(|found| number(found, "rows")), [12.0, 48.0, 60.0]);
    for name in ["loss", "accuracy"] {
        let sum = [&validation, &train].map(|found| number(found, name) * number(found, "rows")).iter().sum::<f64>();
        // Each mean is of losses in f32, summed in f64.
        assert!((sum / 60.0 - number(&all, name)).abs() < 1e-6, "{name}");
    }
}

/// Columns are found by their names, and statistics and classes are those of the run.
#[test]
fn other_data_is_measured_without_the_data_of_the_run() {
    let lab = lab();
    let all = figures(&eval(&lab, &["run", "--rows", "all"]));
    let table = fs::read_to_string(lab.path("data.csv")).unwrap();
    let turned = table.lines().map(|line| line.split(',').rev().chain(["more"]).collect::<Vec<_>>().join(",") + "\n");
    fs::create_dir(lab.path("elsewhere")).unwrap();
    fs::write(lab.path("elsewhere/turned.csv"), turned.collect::<String>()).unwrap();
    fs::rename(lab.path("data.csv"), lab.path("elsewhere/same.csv")).unwrap();
    for name in ["same.csv", "turned.csv"] {
        assert_eq!(figures(&eval(&lab, &["run", "--data", &format!("elsewhere/{name}")])), all, "{name}");
    }
    // A single row, of one class: other rows would give other statistics and fewer classes.
    let first: String = table.lines().take(2).map(|line| line.to_owned() + "\n").collect();
    fs::write(lab.path("first.csv"), first).unwrap();
    assert_eq!(eval(&lab, &["run", "--data", "first.csv"])["rows"], 1);

    let missing = lab.train(&["eval", "run"]).refusal();
    assert!(missing.contains("data.csv") && missing.contains("`data.path` says where it is"), "{missing}");
    assert_eq!(figures(&eval(&lab, &["run", "--rows", "all", "--set", "data.path=elsewhere/same.csv"])), all);
    let half: String = table.lines().take(31).map(|line| line.to_owned() + "\n").collect();
    fs::write(lab.path("half.csv"), half).unwrap();
    let other = lab.train(&["eval", "run", "--set", "data.path=half.csv"]).refusal();
    assert!(other.contains("the content of") && other.contains("half.csv cannot change within a run"), "{other}");
}

/// Words are those that the run knows, though other rows have only some of them, and others.
#[test]
fn classes_and_categories_are_those_of_the_run() {
    let lab = Lab::in_memory(&small(ADAMW, "constant()", ""));
    let colours = ["red", "green", "blue"];
    let row = |i: usize| format!("{},{},{}\n", colours[i * 7 % 3], i % 11, ["owl", "cat", "dog"][(i * 7 + i / 20) % 3]);
    let table = (0..60).map(row).collect::<String>();
    fs::write(lab.path("data.csv"), format!("colour,size,animal\n{table}")).unwrap();
    lab.start("run");
    let all = eval(&lab, &["run", "--rows", "all"]);
    fs::write(lab.path("same.csv"), format!("colour,size,animal\n{table}")).unwrap();
    assert_eq!(figures(&eval(&lab, &["run", "--data", "same.csv"])), figures(&all));
    // The losses of all rows, each alone in a file, are the loss of all.
    let alone = |row: &str| {
        fs::write(lab.path("alone.csv"), format!("colour,size,animal\n{row}\n")).unwrap();
        eval(&lab, &["run", "--data", "alone.csv"])["loss"].as_f64().unwrap()
    };
    let mean = table.lines().step_by(7).map(alone).sum::<f64>() / 9.0;
    let some: String = table.lines().step_by(7).map(|row| row.to_owned() + "\n").collect();
    fs::write(lab.path("some.csv"), format!("colour,size,animal\n{some}")).unwrap();
    let together = eval(&lab, &["run", "--data", "some.csv"])["loss"].as_f64().unwrap();
    assert!((mean - together).abs() < 1e-6, "{mean} {together}");

    fs::write(lab.path("fox.csv"), "colour,size,animal\nred,3,owl\nred,3,fox\n").unwrap();
    let refusal = lab.train(&["eval", "run", "--data", "fox.csv"]).refusal();
    assert!(refusal.contains("fox.csv, line 3, column `animal`: label \"fox\" is none of the classes"), "{refusal}");
    // A category that no training row had is none of those known, as it would be in the run's own validation.
    fs::write(lab.path("pink.csv"), "colour,size,animal\npink,3,owl\n").unwrap();
    assert_eq!(eval(&lab, &["run", "--data", "pink.csv"])["rows"], 1);
}

/// Whatever a file is called, it is read in the format of the run's data.
#[test]
fn other_data_is_read_in_the_format_of_the_run() {
    let lab = lab();
    fs::copy(lab.path("data.csv"), lab.path("data.txt")).unwrap();
    assert_eq!(figures(&eval(&lab, &["run", "--data", "data.txt"])), figures(&eval(&lab, &["run", "--rows", "all"])));
}

#[test]
fn values_have_a_loss_and_no_accuracy() {
    let config = small(ADAMW, "constant()", "").replace("validation = 0.2", "validation = 0.2\ntask = \"regression\"");
    let lab = Lab::in_memory(&config);
    lab.start("run");
    let found = eval(&lab, &["run"]);
    assert_eq!(found["loss"], log(&lab.path("run")).pop().unwrap()["val_loss"]);
    assert!(found.get("accuracy").is_none());
    let all = eval(&lab, &["run", "--rows", "all"]);
    assert_eq!(eval(&lab, &["run", "--data", "data.csv"])["loss"], all["loss"]);
}

/// The checkpoints in the repository are from before checkpoints said what rows a model takes.
#[test]
fn an_older_checkpoint_asks_the_data_what_it_takes() {
    let lab = Lab::in_memory("");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = root.join("checkpoints/notebook");
    let data = format!("data.path={}", root.join("examples/data/experiment.safetensors").display());
    let found = eval(&lab, &[run.to_str().unwrap(), "--rows", "train", "--set", &data]);
    assert!(found["loss"].as_f64().unwrap().is_finite() && found["rows"].as_u64().unwrap() > 0, "{found}");
}
