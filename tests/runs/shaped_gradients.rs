//! Frozen parameters, rates by layer, limits and noise of gradients: each does what its name says, and is exact across a
//! resume.

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};

use crate::common::place::Place;
use crate::common::{ADAMW, ADAMW_IN_TWO_GROUPS, EVERY_STEP, Lab, checkpoint, log, small, state};
use crate::matrix::{self, Case};

fn with(keys: &str) -> String {
    small(ADAMW, "cosine(12)", EVERY_STEP).replace("clip_norm = 1.0", keys)
}

#[test]
fn a_run_with_frozen_parameters_or_shaped_gradients_is_resumed_exactly() {
    let groups = ADAMW_IN_TWO_GROUPS.replace("momentum = 0.8", "momentum = 0.8, clip_norm = 0.1");
    let layers = ADAMW.replace("lr = 0.05", "lr = 0.05, layer_decay = { factor = 0.5, layers = ['#.*'] }");
    let cases = [
        ("frozen until", with("clip_norm = 1.0, freeze = [{ parameters = ['0.*'], until = '50%' }]")),
        ("frozen from", with("freeze = [{ parameters = ['*.bias'], from = '1 epoch', until = '9 steps' }]")),
        ("noise", with("gradient_noise = { eta = 0.1 }, clip_value = 0.05, clip_norm = 0.1")),
        ("groups", small(&groups, "cosine(12)", EVERY_STEP)),
        ("layers", small(&layers, "cosine(12)", EVERY_STEP)),
    ];
    for (name, config) in cases {
        println!("{name}");
        let case = Case { name: name.to_owned(), config };
        matrix::lab(&case, Place::Cpu).assert_each_can_be_the_last(12, [3, 8]);
    }
}

fn weights(lab: &Lab, step: u64, part: &str) -> HashMap<String, Vec<f32>> {
    let file = checkpoint(&lab.path("run"), step).join(format!("{part}.safetensors"));
    let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    let all = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    all.into_iter().map(|(name, tensor)| (name, values(tensor))).collect()
}

fn run(config: &str) -> Lab {
    let lab = Lab::in_memory(config);
    lab.start("run");
    lab
}

/// Neither weights nor moments move, and the first update after it is Adam's first: as large as the rate.
#[test]
fn a_frozen_parameter_stays_and_continues_as_if_the_updates_between_had_not_been() {
    let lab = run(&with("freeze = [{ parameters = ['0.*'], until = '5 steps' }]").replace("cosine(12)", "constant"));
    let (first, fifth, sixth) = (weights(&lab, 0, "model"), weights(&lab, 5, "model"), weights(&lab, 6, "model"));
    assert_eq!(first["0.weight"], fifth["0.weight"]);
    assert_ne!(first["2.weight"], fifth["2.weight"]);
    assert!(weights(&lab, 5, "optimizer")["0.weight.exp_avg"].iter().all(|moment| *moment == 0.0));
    let decayed = |before: f32| before * (1.0 - 0.05 * 0.01);
    let moves =
        fifth["0.weight"].iter().zip(&sixth["0.weight"]).map(|(before, after)| (after - decayed(*before)).abs());
    let moves: Vec<f32> = moves.filter(|size| *size > 1e-6).collect();
    assert!(!moves.is_empty() && moves.iter().all(|size| (size - 0.05).abs() < 1e-3), "{moves:?}");
    assert_eq!(state(&checkpoint(&lab.path("run"), 12))["optimizer"]["missed"]["0.weight"], 5);
}

/// With all parameters frozen no gradient counts, so the norm is 0.
#[test]
fn frozen_gradients_count_for_no_norm() {
    let lab = run(&with("freeze = [{ parameters = ['*'], from = '4 steps', until = '6 steps' }]"));
    let norms: Vec<f64> = log(&lab.path("run")).iter().map(|line| line["grad_norm"].as_f64().unwrap()).collect();
    assert!(norms.iter().enumerate().all(|(step, norm)| (*norm == 0.0) == (4..6).contains(&step)), "{norms:?}");
}

/// SGD without momentum moves by the rate times the gradient, so the moves show rates and limits.
#[test]
fn moves_show_the_rates_of_layers_and_the_limits_of_gradients() {
    let sgd = |keys: &str, train: &str| {
        let config = small(&format!("{{ kind = 'sgd', lr = 1.0{keys} }}"), "constant", EVERY_STEP);
        run(&config.replace("clip_norm = 1.0", &format!("accumulate = 1{train}")))
    };
    let moves = |lab: &Lab| {
        let (before, after) = (weights(lab, 0, "model"), weights(lab, 1, "model"));
        let of = |(name, before): (&String, &Vec<f32>)| {
            (name.clone(), before.iter().zip(&after[name]).map(|(a, b)| f64::from(b - a)).collect::<Vec<_>>())
        };
        before.iter().map(of).collect::<HashMap<String, Vec<f64>>>()
    };
    let plain = moves(&sgd("", ""));
    let layered = moves(&sgd(", layer_decay = { factor = 0.5, layers = ['#.*'] }", ""));
    let mut names: Vec<&str> = plain.keys().filter_map(|name| name.split('.').next()).collect();
    names.sort_unstable();
    names.dedup();
    for (name, whole) in &plain {
        let layer = names.iter().position(|layer| name.starts_with(&format!("{layer}."))).unwrap();
        let factor = 0.5f64.powi((names.len() - 1 - layer) as i32);
        let close = |(found, whole): (&f64, &f64)| (found - factor * whole).abs() < 1e-6;
        assert!(layered[name].iter().zip(whole).all(close), "{name}");
    }
    let limited = moves(&sgd("", ", clip_value = 0.01"));
    for (name, whole) in &plain {
        let close = |(found, whole): (&f64, &f64)| (found - whole.clamp(-0.01, 0.01)).abs() < 1e-6;
        assert!(limited[name].iter().zip(whole).all(close), "{name}");
    }
    let norm = |all: &HashMap<String, Vec<f64>>, layer: &str| {
        let of = all.iter().filter(|(name, _)| name.starts_with(layer));
        of.flat_map(|(_, moves)| moves).map(|x| x * x).sum::<f64>().sqrt()
    };
    let grouped = moves(&sgd(", groups = [{ parameters = ['0.*'], clip_norm = 0.01 }]", ""));
    assert!((norm(&grouped, "0.") - 0.01).abs() < 1e-5 && norm(&plain, "0.") > 0.02);
    assert!((norm(&grouped, names[1]) - norm(&plain, names[1])).abs() < 1e-6);
}

#[test]
fn mistakes_with_frozen_parameters_and_gradients_are_named() {
    let lab = Lab::in_memory(&small(ADAMW, "constant", EVERY_STEP));
    for (setting, words) in [
        (
            "train.freeze=[{parameters=['encoder.*']}]",
            "train.freeze[0].parameters = \"encoder.*\": matches no parameter",
        ),
        ("train.freeze=[{parameters=['0.*'],from='2 epochs',until='1 epoch'}]", "must be after `from`"),
        ("train.freeze=[{parameters=[]}]", "must have at least one pattern"),
        ("train.clip_value=0", "must be positive"),
        ("train.gradient_noise={eta=-1}", "must be a finite number, at least 0"),
        ("optimizer.layer_decay={factor=2,layers=['*']}", "must be above 0 and at most 1"),
        ("optimizer.layer_decay={factor=0.5,layers=['x*']}", "matches no parameter that is left"),
        ("optimizer.groups=[{parameters=['0.*'],clip_norm=0}]", "optimizer.groups[0].clip_norm = 0: must be positive"),
    ] {
        let told = lab.train(&["config.toml", "--out", "bad", "--set", setting]).refusal();
        assert!(told.contains(words), "`{words}` is not in: {told}");
        let _ = fs::remove_dir_all(lab.path("bad"));
    }
}
