//! Update rules against the numbers of the libraries whose names they have.
//!
//! `tests/data/optimizers` has four parameters, their gradients in 40 updates, among them tiny, large and zero ones,
//! and the weights that PyTorch 2.15 and other libraries made of them (`cases.rs`). `translate.rs` says their classes in
//! our terms.

mod cases;
mod translate;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use rekindle::optim::{Gradients, Optimizer, OptimizerConfig};
use rekindle::parameters::Parameters;
use rekindle::state::Stateful as _;
use serde_json::{Value, json};

const NAMES: [&str; 4] = ["V", "W", "b", "s"];
const UPDATES: usize = 40;

/// The largest difference from PyTorch, as a share of the largest number of a tensor: a few roundings of f32 in each of
/// 40 updates.
const TOLERANCE: f64 = 2e-6;

fn tensors(file: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(file, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    flat.into_iter().map(f64::from).collect()
}

/// Returns a matrix, transposed if asked; others as they are.
fn laid_out(tensor: &Tensor, transposes: bool) -> Tensor {
    if transposes && tensor.rank() == 2 { tensor.t().unwrap().contiguous().unwrap() } else { tensor.clone() }
}

/// The parameters, their optimizer, and the gradients of all updates.
struct Problem {
    parameters: Parameters,
    optimizer: Optimizer,
    gradients: HashMap<String, Tensor>,
    /// Whether the gradients are those of the negative loss.
    climbs: bool,
    /// Whether matrices have a row for each input, as in JAX, where ours have a column.
    transposes: bool,
}

impl Problem {
    fn new(config: Value) -> Self {
        Self::of(&cases::own_folder(), &NAMES, serde_json::from_value(config).unwrap())
    }

    /// The parameters of these names, from a folder.
    fn of(folder: &Path, names: &[impl AsRef<str>], config: OptimizerConfig) -> Self {
        Self::with(folder, names, config, false)
    }

    fn with(folder: &Path, names: &[impl AsRef<str>], config: OptimizerConfig, transposes: bool) -> Self {
        let tensors = |file: &str| {
            let all = tensors(&folder.join(file)).into_iter();
            all.map(|(name, tensor)| (name, laid_out(&tensor, transposes))).collect::<HashMap<_, _>>()
        };
        let start = tensors("start.safetensors");
        let var = |name: &str| (name.to_owned(), Var::from_tensor(&start[name]).unwrap());
        let parameters: Parameters = names.iter().map(|name| var(name.as_ref())).collect();
        let optimizer = Optimizer::new(&parameters, config).unwrap();
        let gradients = tensors("gradients.safetensors");
        Self { parameters, optimizer, gradients, climbs: false, transposes }
    }

    /// Makes update `number`, counted from 1.
    fn update(&mut self, number: usize, lr: f64) {
        self.update_clipped(number, &[lr], None);
    }

    /// The same with a rate for each group, and gradients clipped to a norm.
    fn update_clipped(&mut self, number: usize, lrs: &[f64], max_norm: Option<f64>) {
        let names = self.parameters.iter().map(|(name, _)| format!("{name}.{number:03}"));
        let gradient = |name: String| match self.climbs {
            true => self.gradients[&name].neg().unwrap(),
            false => self.gradients[&name].clone(),
        };
        let gradients = names.map(gradient).collect();
        let gradients = Gradients::of_tensors(&self.parameters, gradients).unwrap().measure().unwrap();
        let gradients = match max_norm {
            Some(max_norm) => gradients.clip_with(max_norm, 0.0).unwrap(),
            None => gradients,
        };
        self.optimizer.update(&gradients, lrs).unwrap();
    }

    fn weights(&self, name: &str) -> Vec<f64> {
        numbers(self.parameters.get(name).unwrap().as_tensor())
    }
}

#[track_caller]
fn assert_close(place: &str, found: &[f64], expected: &[f64]) {
    assert_within(TOLERANCE, place, found, expected);
}

#[track_caller]
fn assert_within(tolerance: f64, place: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{place}");
    let largest = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let apart = found.iter().zip(expected).fold(0.0, |apart: f64, (a, b)| apart.max((a - b).abs()));
    assert!(apart <= tolerance * largest, "{place}: {apart} apart, of {largest}");
}

/// Rates that fall by a tenth, from `LR`.
const LR: f64 = 0.02;

fn rate(number: usize) -> f64 {
    LR * 0.9f64.powf(number as f64 - 1.0)
}

/// Follows `config` and, for each number of a parameter, `formula` in f64: it gets the number of the update, the rate
/// and the gradient, and changes the weight and up to three numbers of state.
fn assert_follows(config: Value, mut formula: impl FnMut(i32, f64, f64, &mut f64, &mut [f64; 3])) {
    let mut problem = Problem::new(config.clone());
    let mut weights: Vec<f64> = problem.weights("W");
    let mut states = vec![[0.0; 3]; weights.len()];
    for number in 1..=UPDATES {
        problem.update(number, rate(number));
        let gradients = numbers(&problem.gradients[&format!("W.{number:03}")]);
        for ((weight, state), gradient) in weights.iter_mut().zip(&mut states).zip(gradients) {
            formula(number as i32, rate(number), gradient, weight, state);
        }
        assert_close(&format!("{config} {number}"), &problem.weights("W"), &weights);
    }
}

/// `torch.optim.Adam` with `amsgrad=True`: the largest uncorrected second moment, with this update's correction.
#[test]
fn amsgrad_divides_by_the_largest_second_moment() {
    let config = json!({"kind": "adam", "lr": LR, "amsgrad": true, "betas": [0.9, 0.9], "weight_decay": 0.05});
    assert_follows(config, |n, lr, g, w, [m, v, largest]| {
        let g = g + 0.05 * *w;
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.9 * *v + 0.1 * g * g;
        *largest = largest.max(*v);
        *w -= lr / (1.0 - 0.9f64.powi(n)) * *m / ((*largest / (1.0 - 0.9f64.powi(n))).sqrt() + 1e-8);
    });
}

/// `keras.optimizers.SGD`: `velocity = momentum * velocity - lr * g`, after a decay of the weights by the rate.
#[test]
fn sgd_of_keras_has_the_rate_in_its_velocity() {
    let config = |nesterov: bool| json!({"kind": "sgd", "lr": LR, "variant": "keras", "momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.1});
    for nesterov in [false, true] {
        assert_follows(config(nesterov), |_, lr, g, w, [velocity, ..]| {
            *w -= lr * 0.1 * *w;
            *velocity = 0.8 * *velocity - lr * g;
            *w += if nesterov { 0.8 * *velocity - lr * g } else { *velocity };
        });
    }
    let config = json!({"kind": "sgd", "lr": LR, "variant": "keras", "weight_decay": 0.1});
    assert_follows(config, |_, lr, g, w, _| *w = *w * (1.0 - lr * 0.1) - lr * g);
}

/// Composer's `DecoupledSGDW` and `DecoupledAdamW`: the weights are multiplied by `1 - lr / initial_lr * weight_decay`.
#[test]
fn decay_of_composer_is_by_the_share_of_the_base_rate() {
    let sgd = json!({"kind": "sgd", "lr": LR, "decoupled": "composer", "momentum": 0.9, "weight_decay": 0.01});
    assert_follows(sgd, |n, lr, g, w, [buffer, ..]| {
        *buffer = if n == 1 { g } else { 0.9 * *buffer + g };
        *w = *w * (1.0 - lr / LR * 0.01) - lr * *buffer;
    });
    let adamw = json!({"kind": "adamw", "lr": LR, "decoupled": "composer", "betas": [0.9, 0.95], "weight_decay": 0.01});
    assert_follows(adamw, |n, lr, g, w, [m, v, _]| {
        *w *= 1.0 - lr / LR * 0.01;
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.95 * *v + 0.05 * g * g;
        *w -= lr / (1.0 - 0.9f64.powi(n)) * *m / ((*v / (1.0 - 0.95f64.powi(n))).sqrt() + 1e-8);
    });
}

/// In PyTorch a parameter that does not require a gradient has no part in `clip_grad_norm_`.
#[test]
fn frozen_parameters_stay_and_count_for_no_norm() {
    let groups = json!([{"parameters": ["b", "V"], "kind": "frozen"}]);
    let mut problem = Problem::new(json!({"kind": "sgd", "lr": LR, "groups": groups}));
    let before = NAMES.map(|name| problem.weights(name));
    let gradients = NAMES.map(|name| problem.gradients[&format!("{name}.001")].clone());
    let all = Gradients::of_tensors(&problem.parameters, gradients.to_vec()).unwrap();
    let measured = problem.optimizer.without_frozen(all).unwrap().measure().unwrap();
    let trained = [&gradients[1], &gradients[3]].map(numbers).concat();
    let norm = trained.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((measured.norm() - norm).abs() < 1e-12 * norm);
    problem.optimizer.update(&measured, &[LR, LR]).unwrap();
    let after = NAMES.map(|name| problem.weights(name));
    assert_eq!([&after[0], &after[2]], [&before[0], &before[2]]);
    assert!(after[1] != before[1] && after[3] != before[3]);
    assert!(problem.optimizer.save().unwrap().tensors.is_empty());
}

/// The axes of a side of full rank are determined. In them SOAP is the same whatever the coordinates of this side are: it
/// commutes with a rotation, as no rule of single weights does.
#[test]
fn soap_does_not_depend_on_the_coordinates_of_a_side() {
    let (sine, cosine) = 0.7f64.sin_cos();
    let rotation = [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]];
    let rotation = Tensor::new(&rotation, &Device::Cpu).unwrap().to_dtype(candle_core::DType::F32).unwrap();
    let run = |kind: &str, turn: bool| {
        // Only the first side of `V`, which has three rows and six columns.
        let mut config = json!({"kind": kind, "lr": LR, "weight_decay": 0.0, "eps": 1e-5});
        if kind == "soap" {
            config["max_precondition_dim"] = json!(3);
            config["precondition_frequency"] = json!(2);
        }
        let mut problem = Problem::of(&cases::own_folder(), &["V"], serde_json::from_value(config).unwrap());
        if turn {
            let turned = |x: &Tensor| rotation.matmul(x).unwrap();
            let weights = problem.parameters.get("V").unwrap();
            weights.set(&turned(weights.as_tensor())).unwrap();
            problem.gradients.iter_mut().filter(|(name, _)| name.starts_with("V")).for_each(|(_, g)| *g = turned(g));
        }
        (1..=10).for_each(|number| problem.update(number, LR));
        let weights = problem.parameters.get("V").unwrap().as_tensor().clone();
        if turn { rotation.t().unwrap().matmul(&weights).unwrap() } else { weights }
    };
    let apart = |kind: &str| {
        let difference = (run(kind, true) - run(kind, false)).unwrap().abs().unwrap();
        difference.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
    };
    assert!(apart("soap") < 1e-4, "{}", apart("soap"));
    assert!(apart("adamw") > 0.02, "{}", apart("adamw"));
}

/// The momentum of these has the rates in it, so that it could move weights also without one.
#[test]
fn a_rate_of_zero_moves_no_weight_where_the_momentum_has_the_rate() {
    let ftrl = json!({"kind": "ftrl", "lr": LR});
    // Below 1e-30 its sums would not be finite.
    for (config, least) in [(json!({"kind": "laprop", "lr": LR, "weight_decay": 0.1}), 0.0), (ftrl, 1e-40)] {
        let mut problem = Problem::new(config.clone());
        for (number, lr) in [(1, 0.0), (2, LR), (3, least), (4, LR)] {
            let before = problem.weights("W");
            problem.update(number, lr);
            let after = problem.weights("W");
            assert_eq!(before == after, lr < LR, "{config} {number}");
            assert!(after.iter().all(|weight| weight.is_finite()), "{config} {number}");
        }
    }
}

/// The product of the smallest means of a row and of a column is too small for f32.
#[test]
fn weights_whose_row_and_column_have_no_gradient_stay_in_came() {
    let config = json!({"kind": "came", "lr": LR});
    let mut problem = Problem::of(&cases::own_folder(), &["W"], serde_json::from_value(config).unwrap());
    let rows = Tensor::new(&[[0f32], [1.0], [1.0], [1.0], [1.0], [1.0]], &Device::Cpu).unwrap();
    let columns = Tensor::new(&[[0f32, 1.0, 1.0, 1.0]], &Device::Cpu).unwrap();
    for (_, gradient) in problem.gradients.iter_mut().filter(|(name, _)| name.starts_with("W.")) {
        *gradient = gradient.broadcast_mul(&rows).unwrap().broadcast_mul(&columns).unwrap();
    }
    let before = problem.weights("W");
    (1..=5).for_each(|number| problem.update(number, LR));
    let after = problem.weights("W");
    for (place, (before, after)) in before.iter().zip(&after).enumerate() {
        let is_still = place < 4 || place % 4 == 0;
        assert_eq!(before == after, is_still, "{place}: {before} and {after}");
        assert!(after.is_finite(), "{place}");
    }
}
