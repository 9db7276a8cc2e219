//! SGD as `keras.optimizers.SGD` computes it: the rate is inside of the momentum.

use candle_core::{DType, Result, WithDType};

use super::super::{Step, Update};
use super::variants::Decoupled;
use crate::cpu::Element;

/// Updates a parameter: `v = momentum * v - lr * g`, and the weights, which decay before, move by `v`, or by
/// `momentum * v - lr * g` with Nesterov momentum. Without a state they move by `-lr * g`.
pub(super) fn update(tensors: &Update<'_>, step: &Step, nesterov: bool) -> Result<()> {
    match (tensors.slice_dtype(), tensors.states.is_empty()) {
        (Some(DType::F32), true) => plain::<f32>(tensors, step),
        (Some(DType::F64), true) => plain::<f64>(tensors, step),
        (Some(DType::F32), false) => fused::<f32>(tensors, step, nesterov),
        (Some(DType::F64), false) => fused::<f64>(tensors, step, nesterov),
        _ => reference(tensors, step, nesterov),
    }
}

fn plain<T: Element>(tensors: &Update<'_>, step: &Step) -> Result<()> {
    let of = <T as WithDType>::from_f64;
    let (lr, shrink, scale) = (of(step.lr), of(Decoupled::Rate.shrink(step)), of(tensors.gradient_scale));
    tensors.in_place(|[p]: [&mut [T]; 1], g| {
        for (p, g) in p.iter_mut().zip(g) {
            *p = *p * shrink - lr * (*g * scale);
        }
    })
}

fn fused<T: Element>(tensors: &Update<'_>, step: &Step, nesterov: bool) -> Result<()> {
    let of = <T as WithDType>::from_f64;
    let (lr, shrink, scale) = (of(step.lr), of(Decoupled::Rate.shrink(step)), of(tensors.gradient_scale));
    let keep = of(step.momentum);
    tensors.in_place(|[p, v]: [&mut [T]; 2], g| {
        for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
            let (weight, pull) = (*p, lr * (*g * scale));
            let velocity = *v * keep - pull;
            *v = velocity;
            *p = weight * shrink + if nesterov { keep * velocity - pull } else { velocity };
        }
    })
}

/// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
fn reference(tensors: &Update<'_>, step: &Step, nesterov: bool) -> Result<()> {
    let weights = (tensors.weights()? * Decoupled::Rate.shrink(step))?;
    let pull = (tensors.gradient()? * step.lr)?;
    if tensors.states.is_empty() {
        return tensors.set_weights(&(weights - pull)?);
    }
    let velocity = ((tensors.state(0)? * step.momentum)? - &pull)?;
    tensors.set_state(0, &velocity)?;
    let movement = if nesterov { ((velocity * step.momentum)? - pull)? } else { velocity };
    tensors.set_weights(&(weights + movement)?)
}
