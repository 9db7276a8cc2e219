//! Optimizers: settings, states and what is refused or asked for.

use serde_json::json;

use crate::peers::peer::{Dialect, Group, Parameter, Setting};
use crate::peers::tensor::Tensor;
use crate::peers::translate::testing::*;
use crate::peers::translate::{UpdateRule, optimizer};

fn parameter(id: &str, states: &[&str]) -> Parameter {
    let tensor = || Tensor::from_f32(&[2], &[1.0, 2.0]).unwrap();
    Parameter {
        id: id.to_owned(),
        name: None,
        updates: (!states.is_empty()).then_some(10),
        states: states.iter().map(|name| ((*name).to_owned(), tensor())).collect(),
        numbers: Vec::new(),
    }
}

fn adam_group() -> Group {
    let mut group = group(Some(0.01), [("eps", 1e-8), ("weight_decay", 0.1)]);
    group.settings.push(("betas".to_owned(), Setting::Numbers(vec![0.9, 0.999])));
    group.parameters = vec![parameter("0", &["exp_avg", "exp_avg_sq"])];
    group
}

fn rule(class: &str, dialect: Dialect, group: Group) -> UpdateRule {
    optimizer(&run(class, dialect, vec![group]), 0).unwrap()
}

fn state_names(rule: &UpdateRule) -> Vec<&str> {
    rule.groups[0].parameters[0].states.iter().map(|(name, _)| *name).collect()
}

#[test]
fn adamw_of_pytorch_is_ours() {
    let rule = rule("AdamW", Dialect::Torch, adam_group());
    let expected = json!({"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1, "amsgrad": false});
    assert_eq!((rule.kind, json!(rule.groups[0].hyperparameters)), ("adamw", expected));
    assert_eq!(state_names(&rule), ["exp_avg", "exp_avg_sq"]);
    assert!(rule.asked.is_empty());
}

#[test]
fn the_base_rate_is_the_schedules() {
    let mut peer = scheduled(form("torch.ExponentialLR", [("gamma", 0.5)]), &[0.4], 2, &[0.1]);
    peer.optimizers[0].class = "AdamW".to_owned();
    peer.optimizers[0].groups = vec![Group { lr: Some(0.1), ..adam_group() }];
    assert_eq!(optimizer(&peer, 0).unwrap().groups[0].hyperparameters["lr"], json!(0.4));
    peer.schedules[0].form = form("torch.LambdaLR", []);
    peer.schedules[0].base_lrs.clear();
    let rule = optimizer(&peer, 0).unwrap();
    assert_eq!(rule.asked[0].thing, "optimizer.lr", "the present rate is no base rate");
}

#[test]
fn what_rekindle_has_not_is_refused_by_name() {
    let mut group = adam_group();
    group.settings.push(("maximize".to_owned(), Setting::Bool(true)));
    let refusal = optimizer(&run("AdamW", Dialect::Torch, vec![group]), 0).unwrap_err();
    assert_eq!(refusal.thing, "AdamW maximize");
    let refusal = optimizer(&run("LBFGS", Dialect::Torch, vec![adam_group()]), 0).unwrap_err();
    assert_eq!(refusal.thing, "optimizer LBFGS");
    let mut group = adam_group();
    group.parameters = vec![parameter("0", &["exp_avg", "trace_of_something"])];
    let refusal = optimizer(&run("AdamW", Dialect::Torch, vec![group]), 0).unwrap_err();
    assert_eq!(refusal.thing, "AdamW trace_of_something");
}

#[test]
fn a_parameter_without_state_among_others_is_frozen() {
    let mut group = adam_group();
    group.parameters.push(parameter("1", &[]));
    let rule = rule("AdamW", Dialect::Torch, group);
    let frozen: Vec<bool> = rule.groups[0].parameters.iter().map(|parameter| parameter.frozen).collect();
    assert_eq!(frozen, [false, true]);
}

#[test]
fn the_product_of_nadams_momenta_must_follow_from_its_updates() {
    let mut group = adam_group();
    group.settings.push(("momentum_decay".to_owned(), Setting::Number(0.004)));
    let product: f64 = (1..=10).map(|n| 0.9 * (1.0 - 0.5 * 0.96_f64.powf(f64::from(n) * 0.004))).product();
    group.parameters[0].numbers.push(("mu_product".to_owned(), f64::from(product as f32)));
    assert_eq!(rule("NAdam", Dialect::Torch, group.clone()).kind, "nadam");
    group.parameters[0].numbers[0].1 = product * 1.01;
    let refusal = optimizer(&run("NAdam", Dialect::Torch, vec![group]), 0).unwrap_err();
    assert_eq!(refusal.thing, "NAdam mu_product");
}

#[test]
fn composers_decay_is_relative_to_the_base_rate() {
    let mut group = adam_group();
    group.initial_lr = Some(0.01);
    group.rate_of = crate::peers::peer::RateOf::Constant;
    let rule = rule("DecoupledAdamW", Dialect::Composer, group);
    assert_eq!((rule.kind, &rule.groups[0].hyperparameters["decoupled"]), ("adamw", &json!("composer")));
}

#[test]
fn fastais_parameters_without_decay_are_another_group() {
    let mut group = group(Some(0.01), [("wd", 0.1), ("mom", 0.95), ("sqr_mom", 0.99), ("eps", 1e-5)]);
    group.parameters = vec![parameter("0", &["grad_avg", "sqr_avg"]), parameter("1", &["grad_avg", "sqr_avg"])];
    group.parameters[1].numbers.push(("do_wd".to_owned(), 0.0));
    let rule = rule("Adam", Dialect::Fastai, group);
    let decays: Vec<_> = rule.groups.iter().map(|group| (group.of, &group.hyperparameters["weight_decay"])).collect();
    assert_eq!((rule.kind, decays), ("adamw", vec![(0, &json!(0.1)), (0, &json!(0.0))]));
    assert_eq!(rule.groups[0].hyperparameters["betas"], json!([0.95, 0.99]));
    assert_eq!(state_names(&rule), ["exp_avg", "exp_avg_sq"]);
}

#[test]
fn fastais_sgd_decays_weights_by_the_rate() {
    let mut group = group(Some(0.01), [("wd", 0.1), ("mom", 0.9)]);
    group.parameters = vec![parameter("0", &["grad_avg"])];
    let rule = rule("SGD", Dialect::Fastai, group);
    assert_eq!((rule.kind, &rule.groups[0].hyperparameters["decoupled"]), ("sgd", &json!("rate")));
    assert_eq!(state_names(&rule), ["momentum_buffer"]);
}

#[test]
fn adadelta_and_rprop_of_pytorch_are_ours() {
    let mut deltas = group(Some(1.0), [("rho", 0.8), ("eps", 1e-5), ("weight_decay", 0.1)]);
    deltas.parameters = vec![parameter("0", &["square_avg", "acc_delta"])];
    let mut signs = group(Some(0.01), []);
    signs.settings.push(("etas".to_owned(), Setting::Numbers(vec![0.6, 1.3])));
    signs.settings.push(("step_sizes".to_owned(), Setting::Numbers(vec![1e-5, 0.5])));
    signs.parameters = vec![parameter("0", &["prev", "step_size"])];
    let settings = json!({"lr": 1.0, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1});
    let of_signs = json!({"lr": 0.01, "etas": [0.6, 1.3], "step_sizes": [1e-5, 0.5]});
    for (class, kind, group, expected) in
        [("Adadelta", "adadelta", deltas, settings), ("Rprop", "rprop", signs, of_signs)]
    {
        let states: Vec<String> = group.parameters[0].states.iter().map(|(name, _)| name.clone()).collect();
        let translated = rule(class, Dialect::Torch, group);
        assert_eq!((translated.kind, json!(translated.groups[0].hyperparameters)), (kind, expected));
        assert_eq!(state_names(&translated), states);
        let mut table = translated.groups[0].hyperparameters.clone();
        table.insert("kind".to_owned(), json!(kind));
        let config: crate::optim::OptimizerConfig = serde_json::from_value(table.into()).unwrap();
        config.validate().unwrap();
    }
}

#[test]
fn keras_keeps_its_arithmetic() {
    let mut sgd = group(Some(0.01), [("momentum", 0.9)]);
    sgd.settings.push(("nesterov".to_owned(), Setting::Bool(false)));
    sgd.settings.push(("weight_decay".to_owned(), Setting::Null));
    sgd.parameters = vec![parameter("0", &["momentum"])];
    let translated = rule("SGD", Dialect::Keras, sgd);
    assert_eq!(translated.groups[0].hyperparameters["variant"], json!("keras"));
    assert_eq!(state_names(&translated), ["velocity"]);
    let settings = [("beta_1", 0.9), ("beta_2", 0.99), ("epsilon", 1e-7), ("weight_decay", 0.1)];
    let mut adam = group(Some(0.01), settings);
    adam.parameters = vec![parameter("0", &["momentum", "velocity"])];
    let translated = rule("Adam", Dialect::Keras, adam.clone());
    assert_eq!((translated.kind, state_names(&translated)), ("adamw", vec!["exp_avg", "exp_avg_sq"]));
    assert!(optimizer(&run("Ftrl", Dialect::Keras, vec![adam]), 0).is_err());
}

#[test]
fn every_rule_of_keras_that_is_translated_can_be_made() {
    let betas = [("beta_1", 0.9), ("beta_2", 0.99), ("epsilon", 1e-7), ("weight_decay", 0.1)];
    let rms = [("rho", 0.9), ("momentum", 0.5), ("epsilon", 1e-7), ("centered", 1.0)];
    let adagrad = [("initial_accumulator_value", 0.1), ("epsilon", 1e-7)];
    let cases = [
        ("Nadam", "nadam", &betas[..], &["momentum", "velocity"][..]),
        ("Adamax", "adamax", &betas, &["momentum", "norm"]),
        ("RMSprop", "rmsprop", &rms, &["velocity", "momentum", "average_gradient"]),
        ("Adagrad", "adagrad", &adagrad, &["accumulator"]),
    ];
    for (class, kind, settings, states) in cases {
        let mut group = group(Some(0.01), []);
        group.settings = settings.iter().map(|(key, value)| ((*key).to_owned(), Setting::Number(*value))).collect();
        group.parameters = vec![parameter("0", states)];
        let translated = rule(class, Dialect::Keras, group);
        assert_eq!((translated.kind, translated.asked.len()), (kind, 0), "{class}");
        let mut table = translated.groups[0].hyperparameters.clone();
        table.insert("kind".to_owned(), json!(kind));
        let config: crate::optim::OptimizerConfig = serde_json::from_value(table.into()).unwrap();
        config.validate().unwrap();
        assert_eq!(state_names(&translated).len(), states.len(), "{class}");
    }
}

#[test]
fn optax_settings_are_asked_for_by_key() {
    let mut adam = group(None, []);
    adam.parameters = vec![parameter("0", &["mu", "nu"])];
    let rule = rule("AdamW", Dialect::Optax, adam);
    let asked: Vec<&str> = rule.asked.iter().map(|question| question.thing.as_str()).collect();
    assert_eq!(asked, ["optimizer.lr", "optimizer.betas", "optimizer.eps", "optimizer.weight_decay"]);
    assert!(rule.asked[3].reason.contains("1e-4"), "optax' default is named: {}", rule.asked[3]);
}
