//! Averages of the weights: their values are those of their formulas, validations and predictions use them, and a run
//! with them is resumed exactly.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::common::place::Place;
use crate::common::{ADAMW, EVERY_STEP, Ended, Lab, checkpoint, log, small, state};
use crate::matrix::{self, Case};

/// Runs with memory beside the weights and the optimizer.
fn cases() -> Vec<Case> {
    let of = |name: &str, config: String| Case { name: name.to_owned(), config };
    let small = |more: &str| small(ADAMW, "cosine(12)", &format!("{EVERY_STEP}\n{more}"));
    let images = |average: &str| {
        let model = matrix::models().into_iter().find(|case| case.name == "resnet").unwrap();
        format!("{average}\n{}", model.config)
    };
    vec![
        of("ema", small("ema = { decay = 0.9 }")),
        of("ema with a warm-up", small("ema = { decay = 0.99, warmup = true, start = '2 steps', every = '2 steps' }")),
        of("ema with a schedule", small("ema = { decay = 0.5 }\nema_decay_schedule = 'linear(1, 1.9, 12)'")),
        of("swa", small("swa = { start = '25%', every = '3 steps' }")),
        of("ema beside swa", small("ema = { decay = 0.9, evaluate = false }\nswa = { start = '50%' }")),
        of("ema in bf16", small("precision = 'bf16'\nema = { decay = 0.9 }")),
        of("swa of a batch norm", images("swa = { start = '2 steps', every = '2 steps' }")),
        of("ema of a batch norm", images("ema = { decay = 0.9 }")),
        of("beta2", small("beta2_schedule = 'expr(\"1 - (t + 1) ** -0.8\")'")),
        of("early stopping", small("early_stopping = { patience = 100 }")),
    ]
}

#[test]
fn a_run_with_averages_or_driven_betas_is_resumed_exactly() {
    for case in cases() {
        println!("{}", case.name);
        matrix::lab(&case, Place::Cpu).assert_each_can_be_the_last(12, [3, 8]);
    }
}

fn tensors(checkpoint: &Path, part: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(checkpoint.join(format!("{part}.safetensors")), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn inspect(lab: &Lab, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inspect"));
    command.args(arguments).current_dir(lab.path("")).output().unwrap().into()
}

/// Starts the run of a configuration in a new folder.
fn run(config: &str) -> Lab {
    let lab = Lab::in_memory(config);
    lab.start("run");
    lab
}

/// Compares the average of each checkpoint with one that is computed from the trained weights in f64; `share` is that of
/// the trained weights after this number of updates, or `None` if the average does not move.
fn assert_is_average(lab: &Lab, part: &str, begins: u64, share: impl Fn(u64) -> Option<f64>) {
    let at = |step: u64, part: &str| tensors(&checkpoint(&lab.path("run"), step), part);
    let mut expected: HashMap<String, Vec<f64>> = HashMap::new();
    for step in begins..=12 {
        let (model, average) = (at(step, "model"), at(step, part));
        assert_eq!(model.len(), average.len());
        for (name, weight) in &model {
            let weight: Vec<f64> = values(weight).into_iter().map(f64::from).collect();
            let expected = expected.entry(name.clone()).or_insert_with(|| weight.clone());
            let share = share(step).filter(|_| step > begins).unwrap_or(0.0);
            expected.iter_mut().zip(&weight).for_each(|(average, weight)| *average += share * (weight - *average));
            let close = |(found, expected): (f32, &f64)| (f64::from(found) - expected).abs() < 1e-6;
            assert!(values(&average[name]).into_iter().zip(&*expected).all(close), "{name} after step {step}");
        }
    }
}

#[test]
fn an_exponential_average_follows_its_formula() {
    let lab = run(&small(ADAMW, "constant", &format!("{EVERY_STEP}\nema = {{ decay = 0.8 }}")));
    assert_is_average(&lab, "components.ema", 0, |_| Some(1.0 - 0.8));
    let warm = "ema = { decay = 0.3, warmup = true, start = '3 steps', every = '2 steps' }";
    let lab = run(&small(ADAMW, "constant", &format!("{EVERY_STEP}\n{warm}")));
    assert_is_average(&lab, "components.ema", 3, |step| {
        let t = (step as f64 - 3.0) / 2.0 - 1.0;
        (step % 2 == 1).then(|| 1.0 - ((1.0 + t) / (10.0 + t)).min(0.3))
    });
    let last = state(&checkpoint(&lab.path("run"), 12));
    assert_eq!(last["components"]["ema"]["updates"], 4);
    let driven = "ema = { decay = 0.5 }\nema_decay_schedule = 'linear(1, 1.9, 12)'";
    let lab = run(&small(ADAMW, "constant", &format!("{EVERY_STEP}\n{driven}")));
    let decay = |t: u64| 0.5 * (1.0 + 0.9 * t as f64 / 12.0);
    assert_is_average(&lab, "components.ema", 0, |step| Some(1.0 - decay(step - 1)));
    let logged = log(&lab.path("run"));
    let logged: Vec<f64> = logged.iter().map(|line| line["ema_decay"].as_f64().unwrap()).collect();
    assert!(logged.iter().enumerate().all(|(t, found)| (found - decay(t as u64)).abs() < 1e-12), "{logged:?}");
}

#[test]
fn an_equal_mean_has_each_of_its_points_once() {
    let lab = run(&small(ADAMW, "constant", &format!("{EVERY_STEP}\nswa = {{ start = '25%', every = '3 steps' }}")));
    assert_is_average(&lab, "components.swa", 3, |step| step.is_multiple_of(3).then(|| 3.0 / step as f64));
    let [before, last] = [2, 12].map(|step| state(&checkpoint(&lab.path("run"), step))["components"]["swa"].clone());
    assert_eq!((&before["begun"], &last["updates"]), (&Value::Bool(false), &4.into()));
}

/// The log, `eval` and the best checkpoint are of the average; `--weights` chooses, and `export` writes it.
#[test]
fn validations_and_predictions_use_the_average_and_weights_chooses() {
    let keep = "checkpoint = { every = '2 steps', keep = { best = 1, last = 1 } }";
    let lab = run(&small(ADAMW, "constant", &format!("{keep}\nema = {{ decay = 0.9 }}")));
    let last = log(&lab.path("run")).last().unwrap()["val_loss"].as_f64().unwrap();
    let loss = |more: &[&str]| {
        let told = lab.train(&[&["eval", "run", "--json"], more].concat()).well().stdout;
        serde_json::from_str::<Value>(&told).unwrap()["loss"].as_f64().unwrap()
    };
    assert_eq!((loss(&[]), loss(&["--weights", "ema"])), (last, last));
    assert_ne!(loss(&["--weights", "trained"]), last);
    let best = loss(&["--best"]);
    let logged = log(&lab.path("run"));
    let lowest = logged.iter().filter_map(|line| line["val_loss"].as_f64()).fold(f64::INFINITY, f64::min);
    assert_eq!(best, lowest);
    assert!(lab.train(&["eval", "run", "--weights", "swa"]).refusal().contains("take `ema` or `trained`"));
    for (weights, part) in [("ema", "components.ema"), ("trained", "model")] {
        let out = lab.path(&format!("{weights}.safetensors"));
        let arguments = ["export", "run", "--to", "safetensors", "--weights", weights, "-o", out.to_str().unwrap()];
        inspect(&lab, &arguments).well();
        let (written, saved) = (
            candle_core::safetensors::load(&out, &Device::Cpu).unwrap(),
            tensors(&checkpoint(&lab.path("run"), 12), part),
        );
        assert!(saved.iter().all(|(name, saved)| values(saved) == values(&written[name])), "{weights}");
    }
}

/// One convolution of one channel: the mean of its outputs is computed here from the averaged weights. After the last
/// update nothing validates, and the statistics are those of the average nevertheless.
#[test]
fn the_statistics_of_batch_norms_are_computed_again_for_averaged_weights() {
    let lab = Lab::in_memory(
        "seed = 3\noptimizer = { kind = 'sgd', lr = 0.5 }\ntrain = { steps = 4 }\ncheckpoint = { every = '1 step' }\n\
         data = { path = 'images.safetensors', batch_size = 'all' }\nswa = { start = '2 steps', every = '1 step' }\n\
         [model]\nkind = 'convnet'\nhidden = []\nblocks = [{ channels = 1, kernel = 1, padding = 0, batch_norm = true }]\n",
    );
    let pixels: Vec<f32> = (0..20 * 16_u32).map(|i| (i * i % 251) as f32 / 125.0 - 1.0).collect();
    let mean = pixels.iter().map(|&x| f64::from(x)).sum::<f64>() / pixels.len() as f64;
    let square = pixels.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (pixels.len() - 1) as f64;
    let images = HashMap::from([
        ("x", Tensor::from_vec(pixels, (20, 1, 4, 4), &Device::Cpu).unwrap()),
        ("y", Tensor::from_vec((0..20).map(|i| i % 2).collect::<Vec<u32>>(), 20, &Device::Cpu).unwrap()),
    ]);
    candle_core::safetensors::save(&images, lab.path("images.safetensors")).unwrap();
    lab.start("run");
    let (average, model) =
        ["components.swa", "model"].map(|part| tensors(&checkpoint(&lab.path("run"), 4), part)).into();
    let one = |tensors: &HashMap<String, Tensor>, end: &str| {
        let (_, tensor) = tensors.iter().find(|(name, _)| name.ends_with(end)).unwrap();
        f64::from(values(tensor)[0])
    };
    let (name, weight) = average.iter().find(|(_, tensor)| tensor.dims() == [1, 1, 1, 1]).unwrap();
    let weight = f64::from(values(weight)[0]);
    let bias = average.get(&name.replace(".weight", ".bias")).map_or(0.0, |bias| f64::from(values(bias)[0]));
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    close(one(&average, "running_mean"), weight * mean + bias);
    close(one(&average, "running_var"), weight * weight * square);
    assert!((one(&average, "running_var") - one(&model, "running_var")).abs() > 1e-3);
}

#[test]
fn mistakes_with_averages_are_named() {
    let lab = Lab::in_memory(&small(ADAMW, "constant", EVERY_STEP));
    for (settings, words) in [
        (&["ema.decay=1"][..], "ema.decay = 1: must be at least 0 and below 1"),
        (&["ema.every=5 minutes"], "ema.every = 5 minutes: an average by the clock"),
        (&["ema={}", "swa={}"], "swa.evaluate = true: validations use one average"),
        (&["swa.start=7 days"], "is not a point in a run"),
        (&["ema_decay_schedule=constant"], "there is no average; add the table `[ema]`"),
        (&["ema={}", "ema_decay_schedule=constant(2)"], "the decay at step 0 is 1.998"),
        (
            &["ema={decay=0.5}", "ema_decay_schedule=expr(\"0.9 + 0.5 * max(0, 1 - abs(t - 5))\")"],
            "the decay at step 5 is",
        ),
        (
            &["beta2_schedule=expr(\"0.9 + 0.02 * t\")"],
            "the second beta at step 5 is 1.0; it must be at least 0 and below 1",
        ),
        (&["momentum_schedule=expr(\"2\")"], "the momentum at step 0 is 2.0"),
        (
            &["optimizer={kind=\"schedule_free_sgd\",lr=0.1}", "ema={}"],
            "ema.evaluate = true: validations use the average that `schedule_free_sgd` has by itself; set \
             `ema.evaluate = false`, or remove the table",
        ),
        (&["components.ema={}"], "is built in, with a table of its name: write `[ema]`"),
        (&["optimizer.kind=sgd", "optimizer.lr=1", "beta2_schedule=constant"], "has no second beta"),
    ] {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["config.toml", "--out", "bad"].into_iter().chain(settings).collect();
        let told = lab.train(&arguments).refusal();
        assert!(told.contains(words), "`{words}` is not in: {told}");
        let _ = fs::remove_dir_all(lab.path("bad"));
    }
}

/// An average that is added on a resume begins with the weights of then; one that is removed is gone.
#[test]
fn an_average_can_be_added_and_removed_on_a_resume() {
    let lab = run(&small(ADAMW, "constant", EVERY_STEP));
    lab.train(&["--resume", "run", "--set", "train.epochs=4", "--set", "ema={decay=0.9}"]).well();
    let last = state(&checkpoint(&lab.path("run"), 16));
    assert_eq!(last["components"]["ema"]["updates"], 4);
    lab.train(&["--resume", "run", "--set", "train.epochs=5", "--set", "ema="]).well();
    assert!(state(&checkpoint(&lab.path("run"), 20))["components"]["ema"].is_null());
}

/// `inspect average` gives a checkpoint that is evaluated and exported like others, and has the mean of their weights.
#[test]
fn checkpoints_are_averaged_into_one_that_can_be_used() {
    let lab = run(&small(ADAMW, "constant", &format!("{EVERY_STEP}\nema = {{ decay = 0.9 }}")));
    let inspect = |arguments: &[&str]| inspect(&lab, arguments);
    let told = inspect(&["average", "run", "--last", "3", "-o", "mean"]).well().stdout;
    assert!(told.contains("the mean of 3 checkpoints is mean/step-0000000012"), "{told}");
    let of = |step| tensors(&checkpoint(&lab.path("run"), step), "model");
    let (mean, each) = (tensors(&lab.path("mean/step-0000000012"), "model"), [of(10), of(11), of(12)]);
    for (name, found) in &mean {
        for (at, value) in values(found).into_iter().enumerate() {
            let sum: f64 = each.iter().map(|weights| f64::from(values(&weights[name])[at])).sum();
            assert_eq!(value, (sum / 3.0) as f32, "{name}");
        }
    }
    lab.train(&["eval", "mean"]).well();
    lab.train(&["predict", "mean/step-0000000012", "--data", "data.csv", "-o", "out.csv"]).well();
    inspect(&["verify", "mean"]).well();
    inspect(&["export", "mean", "--to", "torch", "-o", "mean.pt"]).well();
    assert!(inspect(&["mean"]).well().stdout.contains("averaged    of 3 checkpoints, up to step 12"));
    let weights = "train.initial_weights=mean/step-0000000012/model.safetensors";
    lab.train(&["config.toml", "--out", "again", "--set", weights]).well();
    for (arguments, words) in [
        (&["average", "run", "-o", "more"][..], "give --last N"),
        (&["average", "run", "--last", "99", "-o", "more"], "13 valid checkpoints, fewer than --last 99"),
        (&["average", "run", "--last", "2", "-o", "mean"], "there is something at mean"),
        (&["average", "nothing", "-o", "more"], "nothing"),
    ] {
        let told = inspect(arguments);
        assert!(told.code == Some(2) && told.stderr.contains(words), "`{words}` is not in: {told:?}");
    }
    let free = "optimizer={kind=\"schedule_free_sgd\",lr=0.1}";
    lab.train(&["config.toml", "--out", "free", "--set", "ema=", "--set", free]).well();
    let told = inspect(&["average", "free", "--last", "2", "-o", "more"]);
    assert!(told.stderr.contains("is of `schedule_free_sgd`, which averages the weights by itself"), "{told:?}");
    assert!(!lab.path("more").exists());
}
