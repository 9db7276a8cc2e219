//! Losses and metrics as a user meets them: what does not fit is refused before the first step, and what fits is shown.

use std::fs;

use serde_json::Value;

use crate::common::{ADAMW, EVERY_STEP, Lab, log, small};

fn lab(more: &str) -> Lab {
    Lab::in_memory(&small(ADAMW, "constant()", EVERY_STEP).replace("validation = { every = \"2 steps\" }", more))
}

/// A run is refused, and nothing is written.
#[track_caller]
fn refused(lab: &Lab, set: &[&str], parts: &[&str]) {
    let settings: Vec<&str> = set.iter().flat_map(|setting| ["--set", setting]).collect();
    let refusal = lab.train(&[&["config.toml", "--out", "run"], &settings[..]].concat()).refusal();
    assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
    assert!(!lab.path("run").exists());
}

#[test]
fn a_metric_that_does_not_fit_the_data_is_refused_with_those_that_do() {
    let lab = lab("validation = { every = \"2 steps\" }");
    let fitting = [
        "those that fit this data are `accuracy`, `auroc`, `average_precision`, `balanced_accuracy`, ",
        "`top_k_accuracy`",
    ];
    let metric = |name: &str| format!("validation.metrics=[\"{name}\"]");
    refused(&lab, &[&metric("r2")], &[&["validation.metrics = r2: is for values, not classes"], &fitting[..]].concat());
    refused(&lab, &["data.classes=3", &metric("f1")], &["validation.metrics = f1: is for two classes", "add `_macro`"]);
    refused(&lab, &[&metric("bits_per_byte")], &["is for text, with tokens that keep every byte of it"]);
    let values = "those that fit this data are `mean_absolute_error`, `quantile_loss`, `r2`, `root_mean_squared_error`";
    refused(&lab, &["data.task=regression", &metric("auroc")], &["is for classes, not values", values]);
    refused(&lab, &["data.task=regression", &metric("accuracy")], &["is for classes, not values", values]);
}

#[test]
fn a_schedule_cannot_follow_a_metric_in_the_wrong_direction() {
    let lab = lab("validation = { every = \"2 steps\", metrics = [\"auroc\", \"brier_score\"] }");
    let plateau = "schedule=plateau(patience=1)";
    refused(
        &lab,
        &[plateau, "train.metric=validation_auroc"],
        &["follows validation_auroc, which grows as the model gets better", "give it mode=\"max\""],
    );
    refused(
        &lab,
        &["schedule=plateau(mode=\"max\")", "train.metric=validation_brier_score"],
        &["follows validation_brier_score, which falls as the model gets better"],
    );
    let told =
        lab.train(&["config.toml", "--out", "down", "--set", plateau, "--set", "train.metric=validation_brier_score"]);
    told.well();
    refused(&lab, &["checkpoint.keep.best=1", "checkpoint.keep.metric=validation_r2"], &["is not computed"]);
}

/// The best checkpoint is the one with the largest or the smallest value, as the metric has it.
#[test]
fn the_best_checkpoints_go_by_any_metric_in_its_direction() {
    let lab = lab("validation = { every = \"2 steps\", metrics = [\"auroc\", \"calibration_error\"] }");
    for (metric, sign) in [("validation_auroc", -1.0), ("validation_calibration_error", 1.0)] {
        let keep = format!("checkpoint.keep.metric={metric}");
        lab.train(&["config.toml", "--out", metric, "--set", "checkpoint.keep.best=1", "--set", &keep]).well();
        let lines = log(&lab.path(metric));
        let found = lines.iter().filter_map(|line| Some((sign * line[metric].as_f64()?, line["step"].as_u64()?)));
        let best = found.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap().1 + 1;
        let told = lab.train(&["eval", metric, "--best", "--json"]).well();
        let evaluated: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(evaluated["step"].as_u64().unwrap(), best, "{metric}");
    }
}

#[test]
fn an_evaluation_shows_figures_of_each_class_and_the_confusion_matrix() {
    let lab = lab("validation = { every = \"2 steps\", metrics = [\"f1_per_class\", \"confusion_matrix\"] }");
    lab.start("run");
    let told = lab.train(&["eval", "run"]).well();
    let expected =
        ["\nvalidation_confusion_counts, predicted in columns\n  true  0", "\nvalidation_f1_by_class\n  0  0."];
    assert!(expected.iter().all(|part| told.stdout.contains(part)), "{}", told.stdout);
    let told = lab.train(&["eval", "run", "--json"]).well();
    let evaluated: Value = serde_json::from_str(&told.stdout).unwrap();
    let last = log(&lab.path("run")).pop().unwrap();
    for name in ["validation_f1_by_class", "validation_confusion_counts", "validation_f1_per_class"] {
        assert_eq!(evaluated[name], last[name], "{name}");
    }
}

#[test]
fn a_loss_that_does_not_fit_is_refused_with_those_that_do() {
    let lab = lab("validation = { every = \"2 steps\" }");
    refused(&lab, &["loss.kind=huber"], &["loss.kind = huber", "for classes there are `cross_entropy` and `focal`"]);
    refused(
        &lab,
        &["data.task=regression", "loss.kind=focal"],
        &["for values there are `mse`, `mae`, `huber` and `poisson`"],
    );
    refused(&lab, &["loss={kind=\"huber\",delta=0}"], &["delta = 0: must be a finite number above 0"]);
    refused(
        &lab,
        &["loss={kind=\"cross_entropy\",class_weights=[1,2,3]}"],
        &["class_weights = a list of 3: give 2 numbers, because the targets are 2 classes"],
    );
    refused(
        &lab,
        &["loss={kind=\"focal\"}", "data.augment={mixup={alpha=1}}"],
        &["data.augment = mixup: mixed rows have probabilities of classes"],
    );
    refused(
        &lab,
        &["data.sampling=[1,2,3]"],
        &["`data.sampling` = [1, 2, 3]: there are 2 classes; give a weight for each, not 3"],
    );
    refused(
        &lab,
        &["data.sampling=balanced", "data.task=regression"],
        &["`data.sampling` = \"balanced\": rows are drawn by their classes, and the targets are values; remove it"],
    );
    refused(&lab, &["data.sampling=balanced", "data.shuffle=false"], &["`data.shuffle` is false"]);
}

/// Predictions are in the unit of the targets: counts of a Poisson loss, probabilities of labels.
#[test]
fn predictions_mean_what_the_loss_says() {
    let lab = lab("validation = { every = \"2 steps\" }");
    let numbers = |run: &str| -> Vec<f64> {
        let told = lab.train(&["predict", run, "--data", "data.csv"]).well();
        told.stdout.lines().skip(1).map(|line| line.parse().unwrap()).collect()
    };
    let regression = ["config.toml", "--set", "data.task=regression"];
    lab.train(&[&regression[..], &["--out", "counts", "--set", "loss.kind=poisson"]].concat()).well();
    assert!(numbers("counts").iter().all(|count| *count > 0.0));
    // Targets that are no labels are refused, not trained on.
    let unfit = ["data.task=regression", "loss.kind=binary_cross_entropy"];
    refused(
        &lab,
        &unfit,
        &[
            "loss.kind = binary_cross_entropy: does not fit the data: binary cross-entropy: a target is 2, and must be from 0 to 1; for any values there is `mse`",
        ],
    );
    let table = fs::read_to_string(lab.path("data.csv")).unwrap();
    let zeros_and_ones = table.lines().map(|line| line.replace(",2", ",1") + "\n").collect::<String>();
    fs::write(lab.path("data.csv"), zeros_and_ones).unwrap();
    lab.train(&[&regression[..], &["--out", "labels", "--set", "loss.kind=binary_cross_entropy"]].concat()).well();
    assert!(numbers("labels").iter().all(|p| (0.0..=1.0).contains(p)));
}

/// A loss of classes has it anyway, so a list that names it asks for nothing more.
#[test]
fn the_accuracy_may_be_named_among_the_metrics() {
    let lab = lab("validation = { every = \"2 steps\" }");
    let logged = |run: &str, metrics: &str| {
        let metrics = format!("validation.metrics={metrics}");
        lab.train(&["config.toml", "--out", run, "--set", &metrics, "--set", "train.metric=validation_accuracy"])
            .well();
        fs::read_to_string(lab.path(run).join("log.jsonl")).unwrap()
    };
    let named = logged("named", "[\"accuracy\", \"auroc\"]");
    assert_eq!(named, logged("left_out", "[\"auroc\"]"));
    assert!(named.contains("val_accuracy") && !named.contains("validation_accuracy"), "{named}");
}
