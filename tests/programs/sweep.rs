//! `train sweep` and `inspect sweep`: the trials of a grid, those that fail, and requests that are refused.

use std::fs;

use serde_json::Value;

use crate::common::programs::Workplace;

const GRID: &str = "config = 'config.toml'\nmetric = 'val_accuracy'\nsearch = { kind = 'grid' }\n\
                    [parameters]\n'optimizer.lr' = [0.1, 0.01]\n'data.batch_size' = [4, 8]\n";

fn place(sweep: &str) -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("sweep.toml"), sweep).unwrap();
    place
}

fn ledger(place: &Workplace) -> Vec<Value> {
    let text = fs::read_to_string(place.path("runs/sweep/trials.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_grid_is_made_in_order_and_its_best_configuration_is_a_run() {
    let place = place(GRID);
    let told = place.train(&["sweep", "sweep.toml"]);
    told.says(0, &["trial 0: ", "trial 3: ", "its configuration: runs/sweep/best.toml; its run: runs/sweep/trials/"]);
    let header = told.out.lines().next().unwrap();
    let columns: Vec<&str> = header.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    assert_eq!(columns, ["trial", "validation_accuracy", "at step", "steps", "end", "lr", "batch_size"]);
    assert!(told.out.contains("4 trials: 4 finished\nbest: trial "), "{}", told.out);
    let parameters: Vec<String> = ledger(&place).iter().map(|trial| trial["parameters"].to_string()).collect();
    let expected = [(0.1, 4), (0.1, 8), (0.01, 4), (0.01, 8)]
        .map(|(lr, size)| format!("{{\"data.batch_size\":{size},\"optimizer.lr\":{lr}}}"));
    let expected = expected.map(|text| serde_json::from_str::<Value>(&text).unwrap().to_string());
    assert_eq!(parameters, expected);
    // The best one is a configuration, whose run is that of its trial.
    let best = told.out.rsplit("best: trial ").next().unwrap().split(',').next().unwrap().to_owned();
    place.train(&["runs/sweep/best.toml", "--out", "again"]).says(0, &[]);
    let log = |run: &str| fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
    assert_eq!(log("again"), log(&format!("runs/sweep/trials/000{best}")));
    // It is shown, and written, again; the same command makes nothing.
    for words in [&["sweep", "runs/sweep"][..], &["runs/sweep"]] {
        let shown = place.inspect(words);
        shown.says(0, &[]);
        assert_eq!(shown.out, told.out);
    }
    let again = place.train(&["sweep", "sweep.toml"]);
    again.says(0, &["4 of 4 trials have ended before"]);
    assert_eq!(again.out, told.out);
    let json: Value = serde_json::from_str(&place.inspect(&["sweep", "runs/sweep", "--json"]).out).unwrap();
    assert_eq!((&json["trials"], &json["metric"]), (&4.into(), &"validation_accuracy".into()));
    for file in ["sweep.png", "sweep.svg", "trials.csv"] {
        place.inspect(&["sweep", "runs/sweep", "-o", file]).says(0, &[]);
        assert!(place.path(file).metadata().unwrap().len() > 100);
    }
    place.inspect_refuses(2, &["sweep", "runs/sweep", "-o", "sweep.txt"], &["a picture a .svg or .png file"]);
}

/// One whose loss is not finite, one whose data is wrong; both are recorded, and stay so.
#[test]
fn a_trial_that_fails_is_recorded_and_the_others_go_on() {
    let place =
        place(&GRID.replace("[0.1, 0.01]", "[0.1, 1e30]").replace("batch_size' = [4, 8]", "label' = ['label', 'no']"));
    let told = place.train(&["sweep", "sweep.toml"]);
    told.says(0, &["trial 1 failed: ", "trial 2 diverged: "]);
    let ends: Vec<String> = ledger(&place).iter().map(|trial| trial["end"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ends, ["finished", "failed", "diverged", "failed"]);
    assert!(told.out.contains("4 trials: 1 finished, 1 diverged, 2 failed\nbest: trial 0, "), "{}", told.out);
    assert!(told.out.contains("trial 2: the ") && told.out.contains("not finite at step"), "{}", told.out);
    let all_fail = self::place(&GRID.replace("[0.1, 0.01]", "[1e30, 1e31]"));
    all_fail.train(&["sweep", "sweep.toml"]).says(1, &["no trial has a result; runs/sweep/trials has"]);
    assert!(!all_fail.path("runs/sweep/best.toml").exists());
}

#[test]
fn a_sweep_that_cannot_be_made_is_refused_before_anything_runs() {
    for (from, to, part) in [
        ("optimizer.lr", "optimizer.learning_rate", "did you mean `optimizer.lr`?"),
        ("optimizer.lr", "optimiser.lr", "did you mean `optimizer`?"),
        ("[4, 8]", "[4, 0]", "sweep.toml: [parameters], trial 1: data.batch_size"),
        ("[4, 8]", "['four']", "positive number of rows"),
        ("config.toml", "none.toml", "cannot read the configuration none.toml"),
        ("val_accuracy", "validation_auroc", "add \"auroc\" to `validation.metrics`"),
        ("search", "serach", "sweep.toml, line 3: there is no key `serach` here; did you mean `search`?"),
    ] {
        place(&GRID.replace(from, to)).train_refuses(&["sweep", "sweep.toml"], &[part]);
    }
    let place = place(GRID);
    place.train_refuses(&["sweep", "none.toml"], &["cannot read the sweep none.toml", "give the path of a TOML file"]);
    place.train_refuses(&["sweep", "--resume", "runs"], &["runs is not the directory of a sweep"]);
    place.train_refuses(&["sweep", "config.toml"], &["there is no key `seed` here"]);
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    fs::write(place.path("config.toml"), config.replace("validation = 0.25\n", "")).unwrap();
    place.train_refuses(&["sweep", "sweep.toml"], &["metric", "there are no validation rows"]);
}

#[test]
fn a_directory_with_another_sweep_or_other_files_is_left_alone() {
    let place = place(&GRID.replace("[0.1, 0.01]", "[0.1]").replace("[4, 8]", "[4]"));
    place.train(&["sweep", "sweep.toml"]).says(0, &[]);
    fs::write(place.path("other.toml"), GRID).unwrap();
    let other = ["sweep", "other.toml", "--out", "runs/sweep"];
    place.train_refuses(&other, &["runs/sweep holds another sweep", "train sweep --resume runs/sweep"]);
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    fs::write(place.path("config.toml"), config.replace("seed = 7", "seed = 8")).unwrap();
    place.train_refuses(&["sweep", "sweep.toml"], &["configs/0000.toml is not what config.toml gives now"]);
    fs::create_dir(place.path("mine")).unwrap();
    fs::write(place.path("mine/notes"), "").unwrap();
    place.train_refuses(&["sweep", "sweep.toml", "--out", "mine"], &["mine holds other files"]);
    let one_slash = ["sweep", "sweep.toml", "--out", "s3:/bucket/x"];
    place.train_refuses(&one_slash, &["s3://bucket/x"]);
}

/// The schedule is that of the whole run.
#[test]
fn a_run_that_is_made_up_to_a_step_continues_with_the_same_bits() {
    let place = Workplace::with_run();
    place.train(&["config.toml", "--out", "part", "--until", "7 steps"]).says(0, &["stopped after step 7 of 20"]);
    place.train(&["--resume", "part", "--until", "7 steps"]).says(0, &["stopped after step 7 of 20"]);
    place.train(&["--resume", "part", "--until", "3 epochs"]).says(0, &["stopped after step 15 of 20"]);
    place.train(&["--resume", "part", "--until", "9 epochs"]).says(0, &["done: 5 steps"]);
    for file in ["log.jsonl", "checkpoints/step-0000000020/model.safetensors"] {
        let [whole, part] = ["run", "part"].map(|run| fs::read(place.path(run).join(file)).unwrap());
        assert!(whole == part, "{file}");
    }
    for wrong in ["auto", "2 minutes", "5"] {
        place.train_refuses(&["config.toml", "--out", "x", "--until", wrong], &["epochs"]);
    }
}
