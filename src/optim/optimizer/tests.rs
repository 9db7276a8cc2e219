//! Tests of the optimizer: updates, groups and refusals, and that a saved one continues bit for bit.

mod changed;
mod forms;
mod kinds;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use self::kinds::every_kind;
use super::*;
use crate::optim::{Adam, AdamW, Decay, GroupConfig, GroupRule, Overrides, Sgd, Variant};
use crate::state::Stateful;

fn parameters(values: &[f32]) -> Parameters {
    let var = |values: &[f32]| Var::from_slice(values, values.len(), &Device::Cpu).unwrap();
    let (a, b) = values.split_at(values.len() / 2);
    [("a".to_owned(), var(a)), ("b".to_owned(), var(b))].into_iter().collect()
}

/// A matrix `a` and a vector `b`, of more numbers than are computed at a time.
fn matrix_and_vector() -> Parameters {
    let var = |count: usize, shape: &[usize]| {
        let values: Vec<f32> = (0..count).map(|i| (i * 7 % 11) as f32 / 6.0 - 0.8).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    };
    [("a".to_owned(), var(20, &[5, 4])), ("b".to_owned(), var(19, &[19]))].into_iter().collect()
}

/// Half the sum of the fourth powers: gradients that depend on the weights.
fn train(optimizer: &mut Optimizer, parameters: &Parameters, updates: usize) {
    train_clipped(optimizer, parameters, updates, 3.0);
}

fn train_clipped(optimizer: &mut Optimizer, parameters: &Parameters, updates: usize, most: f64) {
    for _ in 0..updates {
        let power = |(_, var): (&str, &Var)| var.powf(4.0).unwrap().sum_all().unwrap();
        let loss = parameters.iter().map(power).reduce(|a, b| (a + b).unwrap()).unwrap();
        let gradients = Gradients::from_loss(&loss, parameters).unwrap().clip(most).unwrap();
        let lrs = vec![0.02; optimizer.groups().len()];
        optimizer.update(&gradients, &lrs).unwrap();
    }
}

#[test]
fn biases_and_norms_can_be_skipped_of_decay() {
    let matrix = Var::ones((2, 2), DType::F32, &Device::Cpu).unwrap();
    let bias = Var::ones(2, DType::F32, &Device::Cpu).unwrap();
    let both: Parameters = [("w".to_owned(), matrix), ("b".to_owned(), bias)].into_iter().collect();
    let rule = AdamW { weight_decay: 0.5, ..AdamW::default() };
    let config = OptimizerConfig { decay: Decay::Matrices, ..rule.into() };
    let mut optimizer = Optimizer::new(&both, config).unwrap();
    let zero = both
        .iter()
        .map(|(_, v)| (v.as_tensor() - v.as_tensor()).unwrap().sum_all().unwrap())
        .reduce(|a, b| (a + b).unwrap());
    optimizer.update(&Gradients::from_loss(&zero.unwrap(), &both).unwrap().measure().unwrap(), &[0.1]).unwrap();
    assert_eq!(both.get("b").unwrap().to_vec1::<f32>().unwrap(), [1.0, 1.0]);
    assert_eq!(both.get("w").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.95; 4]);
}

#[test]
fn half_precision_weights_have_moments_in_f32() {
    let var = Var::ones(3, DType::BF16, &Device::Cpu).unwrap();
    let parameters: Parameters = [("w".to_owned(), var)].into_iter().collect();
    let mut optimizer = Optimizer::new(&parameters, AdamW::default()).unwrap();
    let loss = parameters.get("w").unwrap().sqr().unwrap().sum_all().unwrap();
    optimizer.update(&Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap(), &[0.1]).unwrap();
    let state = optimizer.save().unwrap();
    assert!(state.tensors.values().all(|tensor| tensor.dtype == crate::state::Dtype::F32));
    assert_ne!(parameters.get("w").unwrap().to_vec1::<half::bf16>().unwrap(), [half::bf16::ONE; 3]);
}

/// A schedule may also drive momentum and weight decay: an update with the group's own values written out is the same,
/// and one with other values is not.
#[test]
fn an_update_can_be_given_its_momentum_and_weight_decay() {
    let weights_after = |hyperparams: StepHyperparams| {
        let parameters = parameters(&[1.0, -0.5, 0.25, 2.0]);
        let mut optimizer = Optimizer::new(&parameters, AdamW::default()).unwrap();
        for _ in 0..3 {
            let power = |(_, var): (&str, &Var)| var.powf(4.0).unwrap().sum_all().unwrap();
            let loss = parameters.iter().map(power).reduce(|a, b| (a + b).unwrap()).unwrap();
            optimizer
                .update(&Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap(), &[hyperparams])
                .unwrap();
        }
        parameters.save().unwrap()
    };
    let own = weights_after(StepHyperparams { momentum: Some(0.9), weight_decay: Some(0.01), ..0.1.into() });
    assert_eq!(own, weights_after(0.1.into()));
    assert_ne!(own, weights_after(StepHyperparams { momentum: Some(0.5), ..0.1.into() }));
    assert_ne!(own, weights_after(StepHyperparams { weight_decay: Some(0.5), ..0.1.into() }));
}

/// But for `prodigy`, whose estimate is one for all parameters.
#[test]
fn a_parameter_that_was_frozen_at_first_is_updated_as_one_that_begins_then() {
    let configs = every_kind().into_iter().filter(|config| config.groups.is_empty() && config.kind() != "prodigy");
    for (config, late) in configs.flat_map(|config| ["a", "b"].map(|late| (config.clone(), late))) {
        let both = matrix_and_vector();
        let mut optimizer = Optimizer::new(&both, config.clone()).unwrap();
        optimizer.freeze(|name| name == late);
        train_clipped(&mut optimizer, &both, 3, 1e9);
        optimizer.freeze(|_| false);
        train_clipped(&mut optimizer, &both, 4, 1e9);
        let alone = [(late.to_owned(), matrix_and_vector().get(late).unwrap().clone())].into_iter().collect();
        let mut begun = Optimizer::new(&alone, config.clone()).unwrap();
        train_clipped(&mut begun, &alone, 4, 1e9);
        let weights = |of: &Parameters| of.get(late).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(weights(&both), weights(&alone), "{late}: {config:?}");
    }
}

#[test]
fn gradients_of_other_parameters_are_refused() {
    let parameters = parameters(&[1.0, 2.0]);
    let only_b: Parameters = [("b".to_owned(), parameters.get("b").unwrap().clone())].into_iter().collect();
    let loss = only_b.get("b").unwrap().sum_all().unwrap();
    let mut optimizer = Optimizer::new(&parameters, Sgd::default()).unwrap();
    let message = optimizer
        .update(&Gradients::from_loss(&loss, &only_b).unwrap().measure().unwrap(), &[0.1])
        .unwrap_err()
        .to_string();
    assert_eq!(message, "the gradients are of `b`, and the optimizer's parameters are `a`, `b`");
}

#[test]
fn one_variable_under_two_names_is_refused() {
    let var = Var::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let tied: Parameters = [("a".to_owned(), var.clone()), ("b".to_owned(), var)].into_iter().collect();
    let message = Optimizer::new(&tied, Sgd::default()).unwrap_err().to_string();
    assert!(message.starts_with("`a` and `b` are one variable"), "{message}");
}

/// A rule that a run is resumed with has the states of that run: others are refused, with the names of both.
#[test]
fn a_state_of_another_variant_is_refused() {
    let parameters = parameters(&[1.0, 2.0]);
    let of = |config: OptimizerConfig| Optimizer::new(&parameters, config).unwrap();
    let sgd = |variant| of(Sgd { momentum: 0.9, variant, ..Sgd::default() }.into());
    let adam = |amsgrad| of(Adam { amsgrad, ..Adam::default() }.into());
    for (saved, asked, told) in [
        (sgd(Variant::Pytorch), sgd(Variant::Keras), "variant is not set in the checkpoint and \"keras\" here"),
        (sgd(Variant::Keras), sgd(Variant::Pytorch), "variant is \"keras\" in the checkpoint and not set here"),
        (adam(false), adam(true), "amsgrad is not set in the checkpoint and true here"),
        (adam(true), adam(false), "amsgrad is true in the checkpoint and not set here"),
    ] {
        let error = asked.check(&saved.save().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("optimizer.{told}")), "{error}");
    }
}

/// With momentum 0 a group's dampening has no effect, as in PyTorch.
#[test]
fn a_group_without_momentum_is_not_dampened() {
    let parameters = parameters(&[1.0, 1.0]);
    let groups = vec![GroupConfig::new(["a"], Overrides { momentum: Some(0.0), ..Overrides::default() })];
    let config = OptimizerConfig { groups, ..Sgd { momentum: 0.9, dampening: 0.5, ..Sgd::default() }.into() };
    let mut optimizer = Optimizer::new(&parameters, config).unwrap();
    for _ in 0..2 {
        let loss = parameters.iter().map(|(_, v)| v.sum_all().unwrap()).reduce(|a, b| (a + b).unwrap()).unwrap();
        optimizer.update(&Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap(), &[0.1, 0.1]).unwrap();
    }
    let weight = parameters.get("a").unwrap().to_vec1::<f32>().unwrap()[0];
    assert!((weight - 0.8).abs() < 1e-6, "{weight}");
}

#[test]
fn a_bad_rate_changes_nothing() {
    let parameters = parameters(&[1.0, 2.0]);
    let mut optimizer = Optimizer::new(&parameters, Sgd::default()).unwrap();
    let loss = parameters.iter().map(|(_, v)| v.sum_all().unwrap()).reduce(|a, b| (a + b).unwrap()).unwrap();
    let gradients = Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap();
    for rate in [f64::NAN, f64::INFINITY, -0.1] {
        assert!(matches!(optimizer.update(&gradients, &[rate]), Err(OptimError::Rate { .. })));
    }
    let momentum = StepHyperparams { momentum: Some(1.0), ..0.1.into() };
    let message = optimizer.update(&gradients, &[momentum]).unwrap_err().to_string();
    assert_eq!(message, "the momentum 1 of parameter group 0 is not at least 0 and below 1");
    assert!(matches!(optimizer.update(&gradients, &[0.1, 0.1]), Err(OptimError::RateCount { .. })));
    assert_eq!(parameters.get("a").unwrap().to_vec1::<f32>().unwrap(), [1.0]);
    assert_eq!(optimizer.updates(), 0);
}

#[test]
fn a_state_of_another_kind_or_grouping_is_refused_with_both() {
    let parameters = parameters(&[1.0, 2.0]);
    let saved = Optimizer::new(&parameters, Adam::default()).unwrap().save().unwrap();
    let refusal =
        |config: OptimizerConfig| Optimizer::new(&parameters, config).unwrap().check(&saved).unwrap_err().to_string();
    let kind = refusal(AdamW::default().into());
    assert_eq!(kind, "the optimizer's kind is `adam` in the checkpoint and `adamw` here");
    let group = |rule: GroupRule| vec![GroupConfig::new(["b"], rule)];
    let groups = refusal(OptimizerConfig { groups: group(GroupRule::default()), ..Adam::default().into() });
    assert_eq!(groups, "the division into parameter groups is `a`, `b` in the checkpoint and `a`; `b` here");
}

#[test]
fn a_group_of_another_rule_than_the_saved_one_is_refused_with_both() {
    let parameters = parameters(&[1.0, 2.0]);
    let grouped = |rule: GroupRule| {
        let groups = vec![GroupConfig::new(["b"], rule)];
        Optimizer::new(&parameters, OptimizerConfig { groups, ..Adam::default().into() }).unwrap()
    };
    let sgd = |momentum: f64| GroupRule::from(Sgd { momentum, ..Sgd::default() });
    let saved = grouped(sgd(0.9)).save().unwrap();
    assert_eq!(saved.json["groups"][1]["kind"], "sgd");
    assert!(saved.json["groups"][0].get("kind").is_none());
    assert_eq!(saved.tensors.keys().collect::<Vec<_>>(), ["a.exp_avg", "a.exp_avg_sq", "b.momentum_buffer"]);
    grouped(sgd(0.5)).check(&saved).unwrap();
    let refusal = |rule: GroupRule| grouped(rule).check(&saved).unwrap_err().to_string();
    let kind = "the kind of the parameter group of `b` is `sgd` in the checkpoint and";
    assert_eq!(refusal(GroupRule::default()), format!("{kind} `adam` here"));
    assert_eq!(refusal(AdamW::default().into()), format!("{kind} `adamw` here"));
    let momentum = refusal(sgd(0.0));
    let told = "the optimizer's momentum is 0.9 in the checkpoint and 0 here: a run has buffers for it from its first";
    assert!(momentum.starts_with(told) && momentum.ends_with("`train.initial_weights`"), "{momentum}");
}

/// Each group is updated as in a separate optimizer.
#[test]
fn a_group_with_a_separate_rule_moves_as_that_says() {
    let values = [1.0, -0.5, 0.25, 2.0];
    let sgd = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..Sgd::default() };
    let after = |config: OptimizerConfig| {
        let parameters = parameters(&values);
        let mut optimizer = Optimizer::new(&parameters, config).unwrap();
        for _ in 0..4 {
            let power = |(_, var): (&str, &Var)| var.powf(4.0).unwrap().sum_all().unwrap();
            let loss = parameters.iter().map(power).reduce(|a, b| (a + b).unwrap()).unwrap();
            let lrs = vec![0.02; optimizer.groups().len()];
            optimizer.update(&Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap(), &lrs).unwrap();
        }
        parameters.save().unwrap().tensors
    };
    let groups = vec![GroupConfig::new(["b"], sgd.clone())];
    let mixed = after(OptimizerConfig { groups, ..AdamW::default().into() });
    assert_eq!(mixed["a"], after(AdamW::default().into())["a"]);
    assert_eq!(mixed["b"], after(sgd.into())["b"]);
}

/// A checkpoint must not restore hyperparameters that a program has changed.
#[test]
fn loading_a_state_keeps_the_hyperparameters_asked_for() {
    let parameters = parameters(&[1.0, 2.0]);
    let saved = Optimizer::new(&parameters, Adam { lr: 0.5, ..Adam::default() }).unwrap().save().unwrap();
    let mut optimizer = Optimizer::new(&parameters, Adam { lr: 0.1, ..Adam::default() }).unwrap();
    optimizer.load(&saved).unwrap();
    assert_eq!(optimizer.base_lrs(), [0.1]);
}

#[test]
fn an_optimizer_of_unnamed_variables_trains_but_refuses_to_be_saved() {
    use candle_nn::Optimizer as _;
    let var = Var::from_vec(vec![1f32], 1, &Device::Cpu).unwrap();
    let config = OptimizerConfig::from(Sgd { lr: 0.5, ..Sgd::default() });
    let mut optimizer = <Optimizer as candle_nn::Optimizer>::new(vec![var.clone()], config).unwrap();
    assert_eq!(optimizer.learning_rate(), 0.5);
    optimizer.set_learning_rate(0.25);
    optimizer.backward_step(&var.sqr().unwrap().sum_all().unwrap()).unwrap();
    assert_eq!(var.to_vec1::<f32>().unwrap(), [0.5]);
    assert!(optimizer.save().unwrap_err().to_string().contains("Parameters::from_varmap"));
}

proptest! {
    /// An optimizer saved after any number of updates and loaded into a new one has the same bits in the rest of the
    /// run as without the interruption.
    #[test]
    fn a_saved_and_loaded_optimizer_continues_bit_for_bit(
        values in proptest::collection::vec(-2f32..2.0, 2..12), before in 0usize..7, after in 1usize..4,
    ) {
        for config in every_kind() {
            let whole = parameters(&values);
            let mut uninterrupted = Optimizer::new(&whole, config.clone()).unwrap();
            train(&mut uninterrupted, &whole, before);
            let (weights, state) = (whole.save().unwrap(), uninterrupted.save().unwrap());
            train(&mut uninterrupted, &whole, after);

            let mut fresh = parameters(&vec![0.0; values.len()]);
            let mut resumed = Optimizer::new(&fresh, config).unwrap();
            fresh.load(&weights).unwrap();
            resumed.load(&state).unwrap();
            prop_assert_eq!(resumed.save().unwrap(), state);
            train(&mut resumed, &fresh, after);
            prop_assert_eq!(fresh.save().unwrap(), whole.save().unwrap());
            prop_assert_eq!(resumed.save().unwrap(), uninterrupted.save().unwrap());
        }
    }
}

/// Updates one weight with these second betas, and returns it after each update; the gradient is `weight^3`.
fn weights_with(betas: &[Option<f64>]) -> (Vec<f64>, Optimizer) {
    let var = Var::new(&[1.5f64], &Device::Cpu).unwrap();
    let parameters: Parameters = [("a".to_owned(), var.clone())].into_iter().collect();
    let mut optimizer = Optimizer::new(&parameters, Adam { betas: [0.5, 0.9], ..Adam::default() }).unwrap();
    let weights = betas.iter().map(|&beta2| {
        let weight = var.to_vec1::<f64>().unwrap()[0];
        let gradient = Tensor::new(&[weight.powi(3)], &Device::Cpu).unwrap();
        let gradients = Gradients::of_tensors(&parameters, vec![gradient]).unwrap().measure().unwrap();
        optimizer.update(&gradients, &[StepHyperparams { beta2, ..0.1.into() }]).unwrap();
        var.to_vec1::<f64>().unwrap()[0]
    });
    (weights.collect(), optimizer)
}

/// The moment is corrected by the weight of all squares in it, which for a beta that changes is no power of it.
#[test]
fn a_second_beta_that_changes_is_corrected_by_the_product_of_all() {
    let betas = [0.0, 0.5, 0.75];
    let (found, _) = weights_with(&betas.map(Some));
    let (mut weight, mut mean, mut square, mut product) = (1.5f64, 0.0, 0.0, 1.0);
    for (n, (beta, found)) in betas.into_iter().zip(found).enumerate() {
        let gradient = weight.powi(3);
        mean += 0.5 * (gradient - mean);
        square = beta * square + (1.0 - beta) * gradient * gradient;
        product *= beta;
        let first = 1.0 - 0.5f64.powi(n as i32 + 1);
        weight -= 0.1 * (mean / first) / ((square / (1.0 - product)).sqrt() + 1e-8);
        assert!((weight - found).abs() < 1e-12, "update {n}: {found} instead of {weight}");
    }
    // One that does not change gives what the rule's own does, from whichever update on.
    let (own, _) = weights_with(&[None; 4]);
    for driven in [[Some(0.9); 4], [None, None, Some(0.9), Some(0.9)]] {
        let (found, _) = weights_with(&driven);
        assert!(own.iter().zip(&found).all(|(own, found)| (own - found).abs() < 1e-14), "{found:?}");
    }
}

#[test]
fn the_product_of_second_betas_is_saved() {
    let (_, optimizer) = weights_with(&[Some(0.5), Some(0.25)]);
    let saved = optimizer.save().unwrap();
    assert_eq!(saved.json["groups"][0]["beta2_product"], 0.125);
    let (_, mut other) = weights_with(&[Some(0.5), Some(0.75)]);
    other.load(&saved).unwrap();
    assert_eq!(other.save().unwrap(), saved);
    assert!(weights_with(&[None]).1.save().unwrap().json["groups"][0].get("beta2_product").is_none());
}
