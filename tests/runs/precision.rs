//! Models that compute in another type than they keep their weights in: their runs are resumed to the bit, and their
//! checkpoints have the weights.

use std::collections::BTreeSet;

use candle_core::{DType, Device};
use rekindle::data::Input;
use rekindle::model::{ConvNet, Gpt, Mlp, Policy, ResNet};
use rekindle::train::{Control, Session, SessionBuilder, Sink, StepRecord, from_file};
use serde::de::DeserializeOwned;

use crate::common::place::{Place, again_with_references};
use crate::common::{Lab, assert_same_bits, checkpoint, log};
use crate::matrix::{Case, lab, models};

/// Asks for an end after the update of this step.
struct StopAfter(u64, Control);

impl Sink for StopAfter {
    fn record(&mut self, record: &StepRecord) {
        if record.step == self.0 {
            self.1.stop(15);
        }
    }
}

/// Trains the model of a configuration with these types on `device`.
fn train(lab: &Lab, out: &str, policy: Policy, device: &Device, stop_after: u64) {
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let builder = with_model(Session::builder(config), lab, policy, device);
    let control = Control::new();
    let mut run = builder.run_in(&lab.path(out), control.clone()).unwrap().run;
    run.train(&mut StopAfter(stop_after, control)).unwrap();
}

fn with_model(builder: SessionBuilder, lab: &Lab, policy: Policy, device: &Device) -> SessionBuilder {
    let text = std::fs::read_to_string(lab.path("config.toml")).unwrap();
    let mut model = text.parse::<toml::Table>().unwrap().remove("model").unwrap();
    let kind = model.as_table_mut().unwrap().remove("kind").unwrap();
    fn config<C: DeserializeOwned>(model: toml::Value) -> C {
        model.try_into().unwrap()
    }
    let images = Input::Numbers(vec![1, 8, 8]);
    match kind.as_str().unwrap() {
        "mlp" => builder.model(Mlp::with_policy(config(model), 3, 3, 7, device, policy).unwrap()),
        "convnet" => builder.model(ConvNet::with_policy(config(model), &images, 3, 7, device, policy).unwrap()),
        "resnet" => builder.model(ResNet::with_policy(&config(model), &images, 3, 7, device, policy).unwrap()),
        // Eleven letters.
        "gpt" => builder.model(Gpt::with_policy(config(model), 8, 11, 11, 7, device, policy).unwrap()),
        other => panic!("{other}"),
    }
}

/// Stopped in the middle of an epoch and at the end of one, the run has the same bits.
#[track_caller]
fn assert_exact(case: &Case, place: Place, device: &Device, policy: Policy) {
    println!("{place:?}: {}: {policy:?}", case.name);
    let lab = lab(case, place);
    train(&lab, "whole", policy, device, u64::MAX);
    for stop_after in [4, 7, u64::MAX] {
        train(&lab, "stopped", policy, device, stop_after);
    }
    assert_same_bits(&lab.path("whole"), &lab.path("stopped"));
    let losses: Vec<f64> = log(&lab.path("stopped")).iter().map(|line| line["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 12 && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    let weights = checkpoint(&lab.path("stopped"), 12).join("model.safetensors");
    let weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let types: BTreeSet<&str> = weights.values().map(|tensor| tensor.dtype().as_str()).collect();
    assert_eq!(types, BTreeSet::from([policy.parameters.as_str()]));
    if policy.compute == DType::F64 || case.name == "mlp" {
        assert!(losses[9..].iter().sum::<f64>() < losses[..3].iter().sum(), "{losses:?}");
    }
}

#[test]
fn models_of_mixed_types_are_resumed_to_the_bit() {
    let mixed = |parameters, compute| Policy { parameters, compute, ..Policy::default() };
    let (f16, bf16) = (DType::F16, DType::BF16);
    let policies = [
        mixed(bf16, DType::F32),
        mixed(bf16, bf16),
        mixed(DType::F32, bf16),
        mixed(DType::F32, f16),
        mixed(f16, f16),
        Policy::of(DType::F64),
    ];
    for case in models().into_iter().filter(|case| !is_of_other_outputs(case)) {
        for &policy in &policies {
            assert_exact(&case, Place::Cpu, &Device::Cpu, policy);
        }
    }
}

#[test]
fn models_of_mixed_types_are_resumed_to_the_bit_with_the_reference_of_each_operation() {
    again_with_references("precision::models_of_mixed_types_are_resumed_to_the_bit");
}

#[test]
fn models_that_compute_in_bf16_are_resumed_to_the_bit_on_a_gpu() {
    let Some(device) = Place::cuda("the resume matrix in bf16") else { return };
    let bf16 = |parameters| Policy { parameters, compute: DType::BF16, ..Policy::default() };
    for case in models().into_iter().filter(|case| !is_of_other_outputs(case)) {
        for policy in [bf16(DType::F32), bf16(DType::BF16)] {
            assert_exact(&case, Place::Cuda, &device, policy);
        }
    }
}

/// Whether the outputs of the model are not three classes or the letters.
fn is_of_other_outputs(case: &Case) -> bool {
    ["mlp of values", "mlp of one logit", "mlp of several labels", "mlp of standardized values"].contains(&&*case.name)
}
