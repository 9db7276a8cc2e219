//! The outputs of a network: logits, probabilities and classes, or values.

use super::network::{Attribute, Element, Network};
use crate::data::TargetScale;
use crate::loss::Link;

/// Adds the outputs of a network whose last layer has this `result`, `width` numbers for each row, and returns their
/// names.
pub(super) fn write(
    network: &mut Network,
    result: &str,
    width: usize,
    link: Option<Link>,
    scale: Option<&TargetScale>,
) -> Vec<&'static str> {
    match link {
        Some(Link::Softmax) => {
            network.named("logits", "Identity", &[result], &[]);
            network.named("probabilities", "Softmax", &["logits"], &[Attribute::Int("axis", -1)]);
            let attributes = [Attribute::Int("axis", 1), Attribute::Int("keepdims", 0)];
            network.named("class", "ArgMax", &["logits"], &attributes);
            of_classes(network, width, width)
        }
        Some(Link::Sigmoid) => {
            network.named("logits", "Identity", &[result], &[]);
            two_classes(network);
            of_classes(network, width, 2)
        }
        Some(Link::SigmoidOfEach) => {
            network.named("logits", "Identity", &[result], &[]);
            network.named("probabilities", "Sigmoid", &["logits"], &[]);
            all(network, &[("logits", width), ("probabilities", width)])
        }
        Some(Link::Exp) => {
            let exp = network.node("Exp", &[result], &[]);
            values(network, &exp, scale);
            all(network, &[("values", width)])
        }
        Some(Link::Identity) => {
            values(network, result, scale);
            all(network, &[("values", width)])
        }
        None => {
            network.named("outputs", "Identity", &[result], &[]);
            all(network, &[("outputs", width)])
        }
    }
}

/// Values in their unit. Those that were transformed for training are brought back in 64 bits, and rounded once.
fn values(network: &mut Network, result: &str, scale: Option<&TargetScale>) {
    let Some(scale) = scale else { return network.named("values", "Identity", &[result], &[]) };
    let x = network.node("Cast", &[result], &[Attribute::Int("to", Element::F64 as i64)]);
    let x = match scale {
        TargetScale::Standardize { mean, std } => {
            let std = network.f64s("target_std", &[std.len()], std);
            let mean = network.f64s("target_mean", &[mean.len()], mean);
            let x = network.node("Mul", &[&x, &std], &[]);
            network.node("Add", &[&x, &mean], &[])
        }
        TargetScale::Log => network.node("Exp", &[&x], &[]),
        TargetScale::Log1p => {
            let one = network.f64s("target_one", &[], &[1.0]);
            let x = network.node("Exp", &[&x], &[]);
            network.node("Sub", &[&x, &one], &[])
        }
    };
    network.named("values", "Cast", &[&x], &[Attribute::Int("to", Element::F32 as i64)]);
}

/// The probabilities of both classes, and the class, of the logit of the second. Each probability is computed by itself,
/// so that a small one keeps its digits.
fn two_classes(network: &mut Network) {
    let negative = network.node("Neg", &["logits"], &[]);
    let [first, second] = [negative.as_str(), "logits"].map(|logit| network.node("Sigmoid", &[logit], &[]));
    network.named("probabilities", "Concat", &[&first, &second], &[Attribute::Int("axis", 1)]);
    let zero = network.f32s("zero", &[], [0.0]);
    let is_second = network.node("Greater", &["logits", &zero], &[]);
    let class = network.node("Cast", &[&is_second], &[Attribute::Int("to", Element::I64 as i64)]);
    let axes = network.integers("axes", &[1]);
    network.named("class", "Squeeze", &[&class, &axes], &[]);
}

fn of_classes(network: &mut Network, logits: usize, classes: usize) -> Vec<&'static str> {
    let mut names = all(network, &[("logits", logits), ("probabilities", classes)]);
    network.output("class", Element::I64, &[]);
    names.push("class");
    names
}

fn all(network: &mut Network, outputs: &[(&'static str, usize)]) -> Vec<&'static str> {
    outputs.iter().for_each(|(name, width)| network.output(name, Element::F32, &[*width]));
    outputs.iter().map(|(name, _)| *name).collect()
}
