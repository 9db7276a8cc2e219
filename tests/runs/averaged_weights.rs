//! Optimizers that average weights: a validation measures the average and changes nothing, and the saved run is used with
//! the average too.

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};
use rekindle::trained::{EvaluationRows, Trained};

use crate::common::{EVERY_STEP, Lab, checkpoint, log, small};

const RULES: [&str; 2] = [
    "{ kind = 'schedule_free_adamw', lr = 0.05, weight_decay = 0.1, warmup_steps = 3 }",
    "{ kind = 'schedule_free_sgd', lr = 0.5 }",
];

/// The tensors of the last checkpoint of a run.
fn last(lab: &Lab, run: &str, part: &str) -> Vec<u8> {
    fs::read(checkpoint(&lab.path(run), 12).join(part)).unwrap()
}

#[test]
fn the_bits_of_a_run_do_not_depend_on_how_often_it_validates() {
    for rule in RULES {
        let lab = Lab::in_memory(&small(rule, "constant", EVERY_STEP));
        lab.train(&["config.toml", "--out", "often", "--set", "validation.every=1 step"]).well();
        lab.train(&["config.toml", "--out", "seldom", "--set", "validation.every=6 steps"]).well();
        for part in ["model.safetensors", "optimizer.safetensors"] {
            assert!(last(&lab, "often", part) == last(&lab, "seldom", part), "{rule}: {part}");
        }
        let losses = |run: &str, name: &str| -> Vec<f64> {
            log(&lab.path(run)).iter().filter_map(|line| line[name].as_f64()).collect()
        };
        assert_eq!(losses("often", "loss"), losses("seldom", "loss"));
        let (often, seldom) = (losses("often", "val_loss"), losses("seldom", "val_loss"));
        assert_eq!((often.len(), seldom.len()), (12, 2));
        assert_eq!([often[5], often[11]], [seldom[0], seldom[1]]);
    }
}

#[test]
fn a_checkpoint_is_evaluated_with_the_average_that_the_run_validated() {
    for rule in RULES {
        let lab = Lab::in_memory(&small(rule, "constant", EVERY_STEP));
        lab.start("run");
        let validated = log(&lab.path("run")).iter().rev().find_map(|line| line["val_loss"].as_f64());
        let (trained, _) = Trained::open(&lab.path("run"), &[]).unwrap();
        assert_eq!(Some(trained.evaluate(EvaluationRows::Validation).unwrap().loss), validated, "{rule}");
        // The checkpoint has the weights that the run continues with, and z beside them.
        let read = |part: &str| -> HashMap<String, Tensor> {
            candle_core::safetensors::load_buffer(&last(&lab, "run", part), &Device::Cpu).unwrap()
        };
        let (weights, state) = (read("model.safetensors"), read("optimizer.safetensors"));
        let (y, z) = (&weights["0.weight"], &state["0.weight.z"]);
        let apart = (y - z).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() > 1e-3, "{rule}");
    }
}
