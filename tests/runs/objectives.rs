//! Losses, metrics, drawn rows and changes of rows: each has the same bits after a kill, with other threads, and as
//! several ranks.

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};

use crate::common::place::Place;
use crate::common::{ADAMW, EVERY_STEP, Ended, Lab, assert_same_bits, log};
use crate::matrix::{self, Case};
use crate::ranks::{NEVER, train, train_together};

/// Updates of every case.
const STEPS: u64 = 12;

fn case(name: &str, data: &str, schedule: &str, more: &str) -> Case {
    let config = format!(
        "seed = 3\noptimizer = {ADAMW}\nschedule = '{schedule}'\n{EVERY_STEP}\n{more}\n\
         data = {{ {data}, validation = 0.2, batch_size = 13 }}\n"
    );
    Case { name: name.to_owned(), config }
}

fn cases() -> Vec<Case> {
    const TRAIN: &str = "train = { steps = 12, clip_norm = 1.0 }\nvalidation = { every = '2 steps' }\n";
    const MLP: &str = "model = { kind = 'mlp', hidden = [8], dropout = 0.2 }";
    let steps = |model: &str, loss: &str| format!("{TRAIN}{model}\nloss = {{ {loss} }}");
    let followed = |metric: &str, all: &str, loss: &str| {
        format!(
            "train = {{ steps = 12, metric = 'validation_{metric}' }}\n\
             validation = {{ every = '2 steps', metrics = [{all}] }}\n{MLP}\nloss = {{ {loss} }}"
        )
    };
    let plateau = "plateau(mode=\"max\", factor=0.5, patience=1, threshold=0.5)";
    let of_classes = "'auroc', 'average_precision', 'f1_macro', 'f1_per_class', 'confusion_matrix', 'calibration_error', \
                      'brier_score', 'perplexity', 'balanced_accuracy', 'precision_micro'";
    let of_values =
        "'r2', 'root_mean_squared_error', 'mean_absolute_error', { kind = 'quantile_loss', quantile = 0.9 }";
    let regression = "path = 'data.csv', task = 'regression'";
    let changes = "path = 'images.safetensors', augment = { flip = true, shift = 1, crop = { area = [0.5, 1.0] }, \
                   rotate = { degrees = 20, probability = [0.2, 0.8] }, erase = {}, colour = { brightness = 0.2 }, \
                   mixup = { alpha = 0.4, probability = 0.7 }, cutmix = { alpha = 1.0, probability = [0, 1] } }";
    let convnet = "model = { kind = 'convnet', blocks = [{ channels = 4, pool = 'max' }] }";
    vec![
        case(
            "focal loss with balanced weights, of balanced rows, and a schedule that follows a metric",
            "path = 'data.csv', sampling = 'balanced'",
            plateau,
            &followed("auroc", of_classes, "kind = 'focal', class_weights = 'balanced'"),
        ),
        case(
            "weighted and smoothed cross-entropy with an ignored class, of weighted rows, in bf16",
            "path = 'data.csv', sampling = [1, 2]",
            "cosine(12)",
            &format!(
                "precision = 'bf16'\n{}",
                steps(MLP, "kind = 'cross_entropy', class_weights = [1, 2], label_smoothing = 0.1, ignore_index = 1")
            ),
        ),
        case(
            "mixup of a table",
            "path = 'data.csv', augment = { mixup = { alpha = 0.4 } }",
            "cosine(12)",
            &steps(MLP, "kind = 'cross_entropy', label_smoothing = 0.1"),
        ),
        case(
            "binary cross-entropy with a weight, of mixed rows",
            "path = 'two.csv', augment = { mixup = { alpha = 1 } }",
            "cosine(12)",
            &steps(MLP, "kind = 'binary_cross_entropy', positive_weights = 'balanced'"),
        ),
        case(
            "huber loss, and a schedule that follows the coefficient of determination",
            regression,
            plateau,
            &followed("r2", of_values, "kind = 'huber', delta = 0.5"),
        ),
        case("poisson loss", regression, "cosine(12)", &steps(MLP, "kind = 'poisson'")),
        case("mean absolute error", regression, "cosine(12)", &steps(MLP, "kind = 'mae'")),
        case(
            "labels, and a schedule that follows their F1",
            "path = 'labels.safetensors'",
            plateau,
            &followed(
                "f1_macro",
                "'f1_macro', 'auroc', 'recall_per_class'",
                "kind = 'binary_cross_entropy', positive_weights = [1, 2, 3]",
            ),
        ),
        case("every change of images", changes, "cosine(12)", &steps(convnet, "kind = 'cross_entropy'")),
    ]
}

fn lab(case: &Case, place: Place) -> Lab {
    let lab = matrix::lab(case, place);
    let inputs: Vec<f32> = (0..60 * 5_u32).map(|i| (i * i % 97) as f32 / 48.0 - 1.0).collect();
    let labels: Vec<f32> = (0..60 * 3_u32).map(|i| ((i * i + i / 3) % 5 / 3) as f32).collect();
    let x = Tensor::from_vec(inputs, (60, 5), &Device::Cpu).unwrap();
    let y = Tensor::from_vec(labels, (60, 3), &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("x", x), ("y", y)]), lab.path("labels.safetensors")).unwrap();
    lab
}

#[test]
fn every_loss_metric_and_change_of_rows_is_exact_after_a_kill_and_with_other_threads() {
    for case in cases() {
        println!("{}", case.name);
        let lab = lab(&case, Place::Cpu);
        lab.assert_each_can_be_the_last(STEPS, [3, 8]);
        let again = lab.command(&["config.toml", "--out", "again"]).env("RAYON_NUM_THREADS", "3").output().unwrap();
        Ended::from(again).well();
        assert_same_bits(&lab.path("whole"), &lab.path("again"));
    }
}

/// The rows of a batch are drawn, changed and mixed by their places in the whole batch, whoever computes them.
#[test]
fn every_loss_metric_and_change_of_rows_has_the_bits_of_one_process_as_several_ranks() {
    for case in cases() {
        println!("{}", case.name);
        let lab = lab(&case, Place::Cpu);
        train(&lab, "3", "alone", None, NEVER).unwrap();
        for world in [2, 3] {
            let name = format!("{world}");
            train_together(&lab, world, "3", &name, NEVER).into_iter().for_each(|result| drop(result.unwrap()));
            assert_same_bits(&lab.path("alone"), &lab.path(&name));
        }
    }
}

/// The weights are in the configuration of the run from its first step on.
#[test]
fn balanced_weights_are_written_down_as_numbers() {
    let all = cases();
    let lab = lab(&all[0], Place::Cpu);
    lab.start("run");
    let config: toml::Table = toml::from_str(&fs::read_to_string(lab.path("run/config.toml")).unwrap()).unwrap();
    let weights = config["loss"]["class_weights"].as_array().unwrap();
    assert_eq!(weights.len(), 2);
    assert!(weights.iter().all(|weight| weight.as_float().unwrap() > 0.0), "{weights:?}");
    let last = log(&lab.path("run")).pop().unwrap();
    assert_eq!(last["validation_f1_by_class"].as_array().unwrap().len(), 2);
    let counts = last["validation_confusion_counts"].as_array().unwrap();
    assert_eq!(counts.iter().map(|count| count.as_f64().unwrap()).sum::<f64>(), 12.0);
}
