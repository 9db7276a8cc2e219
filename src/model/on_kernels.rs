//! Tests that every model trains by the kernels of a GPU, which run on the processor here, and is resumed exactly.

use candle_core::{DType, Tensor, Var};

use super::policy::tests::{F16_INSIDE, gradients, models};
use super::{Model, Policy};
use crate::cuda::{host, kernel_launches};
use crate::optim::{AdamW, Optimizer};
use crate::state::Stateful;

const UPDATES: usize = 3;

/// A model in training: losses, and every weight and running mean after the last update.
#[derive(Debug, PartialEq)]
struct Trained {
    losses: Vec<f64>,
    weights: Vec<Vec<f64>>,
}

fn variables(model: &dyn Model) -> Vec<Var> {
    model.parameters().iter().chain(model.buffers().iter()).map(|(_, var)| var.clone()).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Makes some updates of a model, the last ones in a new model and a new optimizer that continue from a copy of all
/// state after update number `cut`.
fn train(policy: Policy, number: usize, cut: Option<usize>) -> Trained {
    let new = || {
        let (_, model, inputs) = models(policy).swap_remove(number);
        let config = AdamW { lr: 0.01, ..AdamW::default() };
        (Optimizer::new(model.parameters(), config).unwrap(), model, inputs)
    };
    let (mut optimizer, mut model, inputs) = new();
    let mut losses = Vec::new();
    for update in 0..UPDATES {
        if Some(update) == cut {
            let (mut again, copy, _) = new();
            again.load(&optimizer.save().unwrap()).unwrap();
            for (to, from) in variables(copy.as_ref()).iter().zip(variables(model.as_ref())) {
                to.set(&from.copy().unwrap()).unwrap();
            }
            (optimizer, model) = (again, copy);
        }
        let (loss, found, is_covered) = gradients(model.as_ref(), &inputs);
        assert!(!host::is_on() || is_covered, "every operation has a kernel");
        let (found, loss) = found.measure_with(std::slice::from_ref(&loss)).unwrap();
        losses.extend(loss);
        optimizer.update(&found.clip(1.0).unwrap(), &[0.01]).unwrap();
    }
    Trained { losses, weights: variables(model.as_ref()).iter().map(|var| numbers(var)).collect() }
}

/// Sums have another order than on the CPU, and Adam's first updates divide by small numbers.
#[track_caller]
fn assert_close(name: &str, found: &Trained, expected: &Trained, tolerance: f64) {
    let pairs = found.losses.iter().zip(&expected.losses);
    assert!(pairs.clone().all(|(a, b)| (a - b).abs() < tolerance), "{name}: {pairs:?}");
    assert!(found.losses[0] != found.losses[2], "{name} learns");
}

#[test]
fn every_model_trains_by_kernels_as_on_the_cpu_and_is_resumed_exactly() {
    for (number, (name, _, _)) in models(Policy::default()).iter().enumerate() {
        let on_cpu = train(Policy::default(), number, None);
        let before = kernel_launches();
        let on_kernels = host::with_kernels(1, || train(Policy::default(), number, None));
        assert!(kernel_launches() > before, "{name}");
        assert_close(name, &on_kernels, &on_cpu, 1e-4);
        // In another order of blocks and threads, and from a copy of the state.
        assert!(host::with_kernels(2, || train(Policy::default(), number, Some(1))) == on_kernels, "{name}");
    }
}

#[test]
fn a_model_that_computes_in_half_precision_trains_by_kernels_and_is_resumed_exactly() {
    for (number, (name, _, _)) in models(F16_INSIDE).iter().enumerate() {
        let on_cpu = train(Policy::default(), number, None);
        let on_kernels = host::with_kernels(1, || train(F16_INSIDE, number, None));
        assert_close(name, &on_kernels, &on_cpu, 0.02);
        assert!(host::with_kernels(2, || train(F16_INSIDE, number, Some(2))) == on_kernels, "{name}");
    }
}
