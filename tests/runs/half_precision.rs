//! The key `precision`: runs whose layers compute in bf16 or f16 are exact, and f16 skips what overflows.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::place::Place;
use crate::common::{ADAMW, EVERY_STEP, Ended, Lab, assert_same_bits, checkpoint, log, small, state};
use crate::matrix::{Case, lab, models};

const STEPS: u64 = 12;

/// These runs have the same bits when they are resumed in the middle of an epoch or at its end, and with two threads.
#[track_caller]
fn assert_exact(place: Place, precision: &str) {
    for case in models() {
        println!("{place:?}, {precision}: {}", case.name);
        let config = format!("precision = '{precision}'\n{}", case.config);
        let lab = lab(&Case { name: case.name, config }, place);
        lab.assert_each_can_be_the_last(STEPS, [3, 8]);
        let again = lab.command(&["config.toml", "--out", "again"]).env("RAYON_NUM_THREADS", "2").output().unwrap();
        Ended::from(again).well();
        assert_same_bits(&lab.path("whole"), &lab.path("again"));
        let (saved, lines) = (state(&checkpoint(&lab.path("whole"), STEPS)), log(&lab.path("whole")));
        assert_eq!(saved["config"]["precision"], precision);
        assert_eq!(lines[0]["loss_scale"], if precision == "f16" { json!(65_536.0) } else { Value::Null });
    }
}

#[test]
fn every_model_and_loss_is_exact_in_bf16() {
    [Place::Cpu].into_iter().chain(Place::others("models in bf16")).for_each(|place| assert_exact(place, "bf16"));
}

#[test]
fn every_model_and_loss_is_exact_in_f16() {
    [Place::Cpu].into_iter().chain(Place::others("models in f16")).for_each(|place| assert_exact(place, "f16"));
}

#[test]
fn a_run_in_half_precision_survives_kills() {
    for precision in ["bf16", "f16"] {
        let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
        let set = format!("precision={precision}");
        let told = lab.train(&["prove", "config.toml", "--kills", "3", "--set", &set]).well();
        assert!(told.stdout.contains("identical") || told.stderr.contains("identical"), "{told:?}");
    }
}

/// With bf16 the losses stay near those of f32.
#[test]
fn a_run_in_half_precision_learns_as_in_f32() {
    let lab = Lab::in_memory(&small("{ kind = 'adamw', lr = 0.01 }", "cosine(12)", ""));
    let losses = |precision: &str| -> Vec<f64> {
        lab.train(&["config.toml", "--out", precision, "--set", &format!("precision={precision}")]).well();
        log(&lab.path(precision)).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let single = losses("f32");
    for (precision, tolerance) in [("bf16", 0.05), ("f16", 0.01)] {
        let half = losses(precision);
        assert!(half != single, "{precision} computes in f32");
        let is_close = |(a, b): (&f64, &f64)| (a - b).abs() < tolerance;
        assert!(half.iter().zip(&single).all(is_close), "{precision}: {half:?} {single:?}");
    }
}

/// Targets of a size at which the gradients of the first steps overflow in f16.
fn overflowing() -> Lab {
    let lab = Lab::in_memory(&format!(
        "precision = 'f16'\noptimizer = {ADAMW}\nschedule = 'cosine(12)'\n{EVERY_STEP}\n\
         train = {{ steps = 12, clip_norm = 1.0 }}\nvalidation = {{ every = '2 steps' }}\nloss = {{ kind = 'mse' }}\n\
         model = {{ kind = 'mlp', hidden = [8] }}\n\
         data = {{ path = 'large.csv', task = 'regression', validation = 0.2, batch_size = 13 }}\n"
    ));
    let rows = (0..60u32).map(|i| format!("{},{}\n", i * 37 % 61, (i * i % 53) * 2));
    fs::write(lab.path("large.csv"), "a,label\n".to_owned() + &rows.collect::<String>()).unwrap();
    lab
}

#[test]
fn updates_that_overflow_in_f16_are_skipped_and_the_loss_scale_halves_wherever_the_run_is_cut() {
    let lab = overflowing();
    let whole = lab.start("whole");
    let lines = log(&lab.path("whole"));
    let skipped = lines.iter().filter(|line| line["skipped"] == true).count() as u64;
    assert!((1..12).contains(&skipped), "{lines:#?}");
    for (line, next) in lines.iter().zip(&lines[1..]) {
        let [scale, after] = [line, next].map(|line| line["loss_scale"].as_f64().unwrap());
        assert_eq!(after, if line["skipped"] == true { scale / 2.0 } else { scale });
        assert_eq!(line.get("grad_norm").is_none(), line["skipped"] == true);
    }
    assert!(whole.stderr.contains(&format!("{skipped} update")), "{}", whole.stderr);
    // A skipped update changes no weight, and the learning rate is that of the step's number.
    let weights = |step| fs::read(checkpoint(&lab.path("whole"), step).join("model.safetensors")).unwrap();
    for (step, line) in (0..).zip(&lines) {
        assert_eq!(weights(step) == weights(step + 1), line["skipped"] == true, "step {step}");
    }
    let last = state(&checkpoint(&lab.path("whole"), STEPS));
    assert_eq!(last["optimizer"]["updates"], STEPS - skipped);
    assert_eq!(last["optimizer"]["skipped"], skipped);
    let status = Command::new(env!("CARGO_BIN_EXE_inspect")).arg(lab.path("whole")).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("precision   f16, loss scale ") && status.contains(" skipped\n"), "{status}");
    for cut in 0..STEPS {
        let name = format!("cut-{cut}");
        let copy = lab.interrupted_copy("whole", &name, cut);
        lab.train(&["--resume", &name]).well();
        assert_same_bits(&lab.path("whole"), &copy);
    }
}

/// The scale halves until it is 1; then the loss is too large for f16, and no smaller scale would help.
#[test]
fn an_overflow_that_never_ends_is_reported_with_the_precision_that_has_room() {
    let lab = overflowing();
    let rows = (0..60u32).map(|i| format!("{},{}\n", i * 37 % 61, (i * i % 53) * 1_000_000));
    fs::write(lab.path("large.csv"), "a,label\n".to_owned() + &rows.collect::<String>()).unwrap();
    let told = lab.train(&["config.toml", "--out", "run", "--set", "train.steps=40"]).stderr;
    let expected = "(f16 ends at 65504; `--set precision=bf16` has the range of f32) is not finite at step 16";
    assert!(told.contains(expected), "{told}");
    lab.train(&["--resume", "run", "--set", "precision=bf16"]).well();
}

#[test]
fn the_precision_of_a_run_changes_only_on_purpose_and_the_change_is_in_its_history() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("whole");
    for (from, to) in [("f32", "f16"), ("f16", "bf16"), ("bf16", "f32")] {
        let run = format!("from-{from}");
        if from == "f32" {
            lab.interrupted_copy("whole", &run, 6);
        } else {
            lab.train(&["config.toml", "--out", "other", "--set", &format!("precision={from}")]).well();
            lab.interrupted_copy("other", &run, 6);
            fs::remove_dir_all(lab.path("other")).unwrap();
        }
        // An edited file is not obeyed silently.
        let file = lab.path(&run).join("config.toml");
        let (written, old) = (fs::read_to_string(&file).unwrap(), format!("precision = \"{from}\""));
        assert!(written.contains(&old), "{written}");
        fs::write(&file, written.replace(&old, &format!("precision = \"{to}\""))).unwrap();
        let refused = lab.train(&["--resume", &run]).refusal();
        assert!(refused.contains(&format!("--set precision={to}")), "{refused}");
        fs::write(&file, written).unwrap();
        let told = lab.train(&["--resume", &run, "--set", &format!("precision={to}")]).well();
        let expected = format!("precision was \"{from}\" and is \"{to}\" from step 6 on");
        assert!(told.stderr.contains(&expected), "{}", told.stderr);
        let last = state(&checkpoint(&lab.path(&run), STEPS));
        assert_eq!(last["history"][0]["changes"][0]["key"], "precision");
        assert_eq!(last.get("loss_scale").is_some(), to == "f16");
    }
}

#[test]
fn an_evaluation_and_a_range_test_compute_in_the_precision_of_the_run() {
    let lab = Lab::in_memory(&format!("precision = 'bf16'\n{}", small(ADAMW, "cosine(12)", EVERY_STEP)));
    lab.start("run");
    let told = lab.train(&["eval", "run", "--json"]).well();
    let found: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(found["loss"], log(&lab.path("run")).pop().unwrap()["val_loss"]);
    let other = overflowing();
    let told = other.train(&["find-lr", "config.toml", "--steps", "12"]).well();
    assert!(!told.stderr.contains("error"), "{}", told.stderr);
}

#[test]
fn a_precision_that_there_is_not_is_refused_with_those_that_there_are() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let refused = lab.train(&["config.toml", "--set", "precision=f8"]).refusal();
    assert!(["precision", "f8", "f32", "bf16", "f16"].iter().all(|word| refused.contains(word)), "{refused}");
}
