//! timm's and nanoGPT's schedules against their sources (timm 1.0, nanoGPT's `train.py`).

use std::f64::consts::PI;

use crate::peers::peer::{Form, RateOf, Setting};
use crate::peers::translate::testing::*;

fn arguments<const N: usize>(name: &str, more: [(&str, f64); N]) -> Form {
    let common = [("epochs", 30.0), ("warmup_epochs", 4.0), ("warmup_lr", 1e-3), ("min_lr", 1e-4), ("decay_rate", 0.5)];
    let mut form = form(&format!("timm.{name}"), more);
    for (key, value) in common {
        if form.setting(key).is_none() {
            form = form.with(key, Setting::Number(value));
        }
    }
    form
}

fn prefixed(form: Form) -> Form {
    form.with("warmup_prefix", Setting::Bool(true))
}

fn cosine(t: f64) -> f64 {
    1e-4 + (0.01 - 1e-4) / 2.0 * (1.0 + (PI * (t / 30.0).min(1.0)).cos())
}

/// A warm-up of 4, then the rate at `t - shift`.
fn warmed(shift: u64, rate: impl Fn(u64) -> f64) -> impl Fn(u64) -> f64 {
    move |t| if t < 4 { 1e-3 + 9e-3 * t as f64 / 4.0 } else { rate(t - shift) }
}

#[test]
fn a_curve_runs_beside_its_warmup_or_after_it() {
    gives(prefixed(arguments("cosine", [])), 0.01, 10, warmed(4, |t| cosine(t as f64)));
    gives(arguments("cosine", []), 0.01, 10, warmed(0, |t| cosine(t as f64)));
    gives(arguments("step", [("decay_epochs", 7.0)]), 0.01, 10, warmed(0, |t| 0.01 * 0.5_f64.powi((t / 7) as i32)));
    let polynomial = |t: u64| 1e-4 + (0.01 - 1e-4) * (1.0 - (t as f64 / 30.0).min(1.0)).powf(0.5);
    gives(prefixed(arguments("poly", [])), 0.01, 10, warmed(4, polynomial));
    gives(arguments("poly", []), 0.01, 10, warmed(0, polynomial));
    let tanh = |t: u64| {
        let x = t as f64 / 30.0;
        if t >= 30 { 1e-4 } else { 1e-4 + (0.01 - 1e-4) / 2.0 * (1.0 - (-7.0 * (1.0 - x) + 3.0 * x).tanh()) }
    };
    gives(prefixed(arguments("tanh", [])), 0.01, 10, warmed(4, tanh));
}

#[test]
fn milestones_come_one_early() {
    let form = arguments("multistep", []).with("decay_milestones", Setting::Numbers(vec![8.0, 20.0]));
    gives(form, 0.01, 10, warmed(0, |t| 0.01 * 0.5_f64.powi(i32::from(t + 1 >= 8) + i32::from(t + 1 >= 20))));
}

#[test]
fn groups_with_a_scale_have_that_share_of_the_rate() {
    let mut peer = scheduled(prefixed(arguments("cosine", [])), &[0.01, 0.01], 10, &[cosine(6.0), 0.5 * cosine(6.0)]);
    peer.optimizers[0].groups[1] = group(Some(0.5 * cosine(6.0)), [("lr_scale", 0.5)]);
    let next = &rates(&translated(peer), 11, 12)[0];
    assert!((next[0] - cosine(7.0)).abs() < 1e-14 && (next[1] - 0.5 * cosine(7.0)).abs() < 1e-14, "{next:?}");
}

#[test]
fn arguments_that_are_not_in_the_file_are_asked_for() {
    let refusal = refused(scheduled(form("timm.cosine", [("epochs", 30.0)]), &[0.01], 10, &[0.01]));
    assert!(refusal.asked && refusal.thing == "timm.cosine warmup_epochs", "{refusal}");
    let noise = arguments("cosine", []).with("lr_noise", Setting::Numbers(vec![0.4, 0.9]));
    assert!(!refused(scheduled(noise, &[0.01], 10, &[0.01])).asked);
}

#[test]
fn nanogpt_warms_up_from_one_or_as_it_did_before() {
    let config = [("learning_rate", 0.01), ("min_lr", 0.001), ("warmup_iters", 5.0), ("lr_decay_iters", 30.0)];
    let after = |t: u64| 0.001 + 0.009 * 0.5 * (1.0 + (PI * ((t - 5) as f64 / 25.0).min(1.0)).cos());
    let today = move |t: u64| if t < 5 { 0.01 * (t + 1) as f64 / 6.0 } else { after(t) };
    let before = move |t: u64| if t < 5 { 0.01 * t as f64 / 5.0 } else { after(t) };
    gives(form("nanogpt.cosine", config), 0.01, 10, today);
    gives(form("nanogpt.cosine", config), 0.01, 2, today);
    gives(form("nanogpt.cosine", config), 0.01, 2, before);
    // The rate in its file may be that of the update before.
    let mut peer = scheduled(form("nanogpt.cosine", config), &[], 10, &[today(9)]);
    peer.optimizers[0].groups[0].rate_of = RateOf::Last;
    assert!((rates(&translated(peer), 10, 11)[0][0] - today(10)).abs() < 1e-14);
}
