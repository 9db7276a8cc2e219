//! Keras' schedules against `learning_rate_schedule.py` of Keras 3.

use std::f64::consts::PI;

use crate::peers::peer::{Form, Setting};
use crate::peers::translate::testing::*;

fn half(x: f64) -> f64 {
    0.5 * (1.0 + (PI * x.min(1.0)).cos())
}

fn config<const N: usize>(class: &str, more: [(&str, f64); N]) -> Form {
    form(&format!("keras.{class}"), more).with("name", word(class))
}

#[test]
fn cosine_decay_warms_up_to_its_target_only() {
    let plain = [("initial_learning_rate", 0.01), ("decay_steps", 26.0), ("alpha", 0.1), ("warmup_steps", 4.0)];
    gives(config("CosineDecay", plain).with("warmup_target", Setting::Null), 0.01, 10, |t| {
        0.01 * (0.9 * half(t as f64 / 26.0) + 0.1)
    });
    let rate = |t: u64| match t {
        0..4 => 0.001 + 0.009 * t as f64 / 4.0,
        t => 0.01 * (0.9 * half((t - 4) as f64 / 26.0) + 0.1),
    };
    let warmed = [
        ("initial_learning_rate", 0.001),
        ("decay_steps", 26.0),
        ("alpha", 0.1),
        ("warmup_steps", 4.0),
        ("warmup_target", 0.01),
    ];
    gives(config("CosineDecay", warmed), 0.01, 2, rate);
    gives(config("CosineDecay", warmed), 0.01, 10, rate);
}

#[test]
fn a_piecewise_rate_changes_after_its_boundary() {
    let form = config("PiecewiseConstantDecay", [])
        .with("boundaries", Setting::Numbers(vec![5.0, 12.0]))
        .with("values", Setting::Numbers(vec![0.05, 0.02, 0.005]));
    gives(form, 0.05, 4, |t| match t {
        0..=5 => 0.05,
        6..=12 => 0.02,
        _ => 0.005,
    });
}

#[test]
fn powers_and_quotients_follow_their_formulas() {
    let decay = [("initial_learning_rate", 0.01), ("decay_steps", 10.0), ("decay_rate", 0.5)];
    gives(config("ExponentialDecay", decay), 0.01, 10, |t| 0.01 * 0.5_f64.powf(t as f64 / 10.0));
    let stairs = config("ExponentialDecay", decay).with("staircase", Setting::Bool(true));
    gives(stairs, 0.01, 10, |t| 0.01 * 0.5_f64.powi((t / 10) as i32));
    gives(config("InverseTimeDecay", decay), 0.01, 10, |t| 0.01 / (1.0 + 0.5 * t as f64 / 10.0));
    let polynomial =
        [("initial_learning_rate", 0.01), ("decay_steps", 15.0), ("end_learning_rate", 1e-3), ("power", 2.0)];
    let at = |t: f64, steps: f64| 1e-3 + 9e-3 * (1.0 - t / steps).powi(2);
    gives(config("PolynomialDecay", polynomial), 0.01, 10, |t| at((t as f64).min(15.0), 15.0));
    let cycle = config("PolynomialDecay", polynomial).with("cycle", Setting::Bool(true));
    gives(cycle, 0.01, 10, |t| at(t as f64, 15.0 * (t as f64 / 15.0).ceil().max(1.0)));
}

#[test]
fn restarts_are_followed_where_the_floor_does_not_move_their_tops() {
    let first = [("initial_learning_rate", 0.01), ("first_decay_steps", 6.0), ("t_mul", 2.0), ("m_mul", 0.5)];
    gives(config("CosineDecayRestarts", first), 0.01, 10, |t| {
        let (cycle, passed, length) = match t {
            0..6 => (0, t, 6),
            6..18 => (1, t - 6, 12),
            18..42 => (2, t - 18, 24),
            _ => (3, t - 42, 48),
        };
        0.01 * 0.5_f64.powi(cycle) * half(passed as f64 / length as f64)
    });
    let floor = config("CosineDecayRestarts", first).with("alpha", Setting::Number(0.1));
    assert_eq!(refused(scheduled(floor, &[0.01], 10, &[0.005])).thing, "keras.CosineDecayRestarts alpha");
}
