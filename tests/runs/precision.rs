//! A model that computes in another type than it keeps its weights in: its run is resumed to the bit, and its
//! checkpoints have the weights.

use std::collections::BTreeSet;

use candle_core::{DType, Device};
use rekindle::model::{Mlp, MlpConfig, Policy};
use rekindle::train::{Control, Session, Sink, StepRecord, from_file};

use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, checkpoint, log, small};

/// Asks for an end after the update of this step.
struct StopAfter(u64, Control);

impl Sink for StopAfter {
    fn record(&mut self, record: &StepRecord) {
        if record.step == self.0 {
            self.1.stop(15);
        }
    }
}

fn train(lab: &Lab, out: &str, policy: Policy, stop_after: u64) {
    let mut config = MlpConfig::new([8, 5]);
    config.dropout = 0.3;
    let model = Mlp::with_policy(config, 3, 3, 7, &Device::Cpu, policy).unwrap();
    let builder = Session::builder(from_file(&lab.path("config.toml"), &[]).unwrap()).model(model);
    let control = Control::new();
    let mut run = builder.run_in(&lab.path(out), control.clone()).unwrap().run;
    run.train(&mut StopAfter(stop_after, control)).unwrap();
}

#[test]
fn a_model_of_mixed_types_is_resumed_to_the_bit() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let mixed = |parameters| Policy { parameters, compute: DType::F16, ..Policy::default() };
    for (name, policy) in [("f32", mixed(DType::F32)), ("f16", mixed(DType::F16)), ("f64", Policy::of(DType::F64))] {
        let whole = format!("{name}-whole");
        train(&lab, &whole, policy, u64::MAX);
        train(&lab, name, policy, 4);
        train(&lab, name, policy, u64::MAX);
        assert_same_bits(&lab.path(&whole), &lab.path(name));
        let losses: Vec<f64> = log(&lab.path(name)).iter().map(|line| line["loss"].as_f64().unwrap()).collect();
        assert!(losses.len() == 12 && losses[9..].iter().sum::<f64>() < losses[..3].iter().sum(), "{losses:?}");
        let weights = checkpoint(&lab.path(name), 12).join("model.safetensors");
        let weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
        let types: BTreeSet<&str> = weights.values().map(|tensor| tensor.dtype().as_str()).collect();
        assert_eq!(types, BTreeSet::from([policy.parameters.as_str()]));
    }
}
