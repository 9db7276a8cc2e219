//! transformers' schedules against `optimization.py` of transformers 5.

use std::f64::consts::PI;

use crate::peers::peer::{Form, Setting};
use crate::peers::translate::testing::*;

const BASE: f64 = 0.01;

fn arguments<const N: usize>(name: &str, more: [(&str, f64); N]) -> Form {
    let mut form = form(&format!("transformers.{name}"), more);
    for (key, value) in [("warmup_steps", 4.0), ("max_steps", 30.0), ("learning_rate", BASE)] {
        if form.setting(key).is_none() {
            form = form.with(key, Setting::Number(value));
        }
    }
    form
}

/// The factor of a schedule with a warm-up of 4 in 30 updates, from the share of the rest that has passed.
fn warmed(factor: impl Fn(f64) -> f64) -> impl Fn(u64) -> f64 {
    move |t| BASE * if t < 4 { t as f64 / 4.0 } else { factor((t - 4) as f64 / 26.0) }
}

fn wave(waves: f64, progress: f64) -> f64 {
    (0.5 * (1.0 + (PI * waves * 2.0 * progress).cos())).max(0.0)
}

#[test]
fn each_type_is_its_function() {
    gives(arguments("linear", []), BASE, 10, warmed(|p| (1.0 - p).max(0.0)));
    gives(arguments("constant", []), BASE, 10, |_| BASE);
    gives(arguments("constant_with_warmup", []), BASE, 2, warmed(|_| 1.0));
    gives(arguments("cosine", []), BASE, 10, warmed(|p| wave(0.5, p)));
    gives(arguments("cosine", [("num_cycles", 1.5)]), BASE, 10, warmed(|p| wave(1.5, p)));
    gives(arguments("inverse_sqrt", []), BASE, 10, |t| {
        BASE * if t < 4 { t as f64 / 4.0 } else { (4.0 / t as f64).sqrt() }
    });
    let floor = |p: f64| (1e-4 + (BASE - 1e-4) * (1.0 - p).max(0.0).powi(2)) / BASE;
    gives(arguments("polynomial", [("lr_end", 1e-4), ("power", 2.0)]), BASE, 10, warmed(floor));
    gives(arguments("cosine_with_min_lr", [("min_lr_rate", 0.1)]), BASE, 10, warmed(|p| wave(0.5, p) * 0.9 + 0.1));
    gives(arguments("cosine_with_min_lr", [("min_lr", 1e-3)]), BASE, 10, warmed(|p| wave(0.5, p) * 0.9 + 0.1));
}

#[test]
fn restarts_end_at_zero_whether_or_not_their_cycles_are_whole() {
    for cycles in [2.0, 4.0, 2.5] {
        let restarts = |p: f64| if p >= 1.0 { 0.0 } else { 0.5 * (1.0 + (PI * ((cycles * p) % 1.0)).cos()) };
        gives(arguments("cosine_with_restarts", [("num_cycles", cycles)]), BASE, 10, warmed(restarts));
    }
}

#[test]
fn a_warmup_ahead_counts_from_one() {
    let rate = |t: u64| match t {
        0..4 => BASE * (t + 1) as f64 / 4.0,
        t => BASE * (wave(0.5, (t - 4 + 1) as f64 / 26.0) * 0.9 + 0.1),
    };
    gives(arguments("cosine_warmup_with_min_lr", [("min_lr_rate", 0.1)]), BASE, 10, rate);
}

#[test]
fn stable_decay_fills_the_run() {
    let form = arguments("warmup_stable_decay", [("num_decay_steps", 10.0), ("min_lr_ratio", 0.1)]);
    gives(form, BASE, 10, |t| {
        let factor = match t {
            0..4 => t as f64 / 4.0,
            4..20 => 1.0,
            20..30 => wave(0.5, (t - 20) as f64 / 10.0),
            _ => 0.0,
        };
        BASE * (factor * 0.9 + 0.1)
    });
}

#[test]
fn a_warmup_may_be_a_share_of_the_run_and_settings_in_a_table() {
    let rate = warmed(|p| (1.0 - p).max(0.0));
    gives(arguments("linear", [("warmup_steps", 0.11)]), BASE, 2, &rate);
    gives(arguments("linear", [("warmup_steps", 0.0), ("warmup_ratio", 0.11)]), BASE, 2, &rate);
    gives(arguments("linear", [("warmup_steps", 0.11), ("num_warmup_steps", 4.0)]), BASE, 2, &rate);
    let kwargs = [("lr_scheduler_kwargs.num_cycles", 1.5)];
    gives(arguments("cosine", kwargs), BASE, 10, warmed(|p| wave(1.5, p)));
}

#[test]
fn an_unknown_type_is_asked_for() {
    assert!(refused(scheduled(arguments("greedy", []), &[BASE], 10, &[BASE])).asked);
}
