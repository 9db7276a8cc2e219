//! ignite's schedulers against `param_scheduler.py` of ignite 0.5.

use std::f64::consts::PI;

use crate::peers::peer::{Form, RateOf, Setting};
use crate::peers::translate::testing::*;

fn cycle(index: f64, class: &str) -> Form {
    let settings = [
        ("event_index", index),
        ("start_value", 0.01),
        ("end_value", 1e-4),
        ("cycle_size", 26.0),
        ("cycle_mult", 1.0),
        ("cycle", 0.0),
        ("start_value_mult", 1.0),
        ("end_value_mult", 1.0),
        ("warmup_duration", 0.0),
    ];
    form(class, settings).with("param_name", word("lr"))
}

fn cosine(t: u64) -> f64 {
    1e-4 + (0.01 - 1e-4) / 2.0 * (1.0 + (PI * (t % 26) as f64 / 26.0).cos())
}

fn triangle(t: u64) -> f64 {
    1e-4 + (0.01 - 1e-4) * 2.0 * ((t % 26) as f64 / 26.0 - 0.5).abs()
}

#[test]
fn the_rate_in_the_file_tells_a_cosine_from_a_triangle() {
    gives(cycle(10.0, "ignite"), 0.01, 10, cosine);
    gives(cycle(10.0, "ignite"), 0.01, 10, triangle);
    let falling = |t: u64| 1e-4 + (0.01 - 1e-4) * (1.0 - (t % 26) as f64 / 26.0);
    gives(cycle(10.0, "ignite"), 0.01, 10, falling);
}

#[test]
fn a_rate_that_all_curves_have_is_a_question() {
    let refusal = refused(scheduled(cycle(0.0, "ignite"), &[0.01], 0, &[0.01]));
    assert!(refusal.asked && refusal.reason.contains("both"), "{refusal}");
}

#[test]
fn a_warmup_and_a_cosine_are_counted_by_their_events() {
    let warmup = form("ignite", [("event_index", 3.0), ("param_group_index", 0.0)])
        .with("param_name", word("lr"))
        .with("milestones", Setting::Numbers(vec![0.0, 2.0]))
        .with("values", Setting::Numbers(vec![0.001, 0.007]));
    let concat = form("ignite.ConcatScheduler", [("event_index", 0.0), ("_scheduler_index", 1.0)])
        .with("durations", Setting::Numbers(vec![3.0]))
        .of([form("ignite", []).of([warmup]), cycle(7.0, "ignite.CosineAnnealingScheduler")]);
    let mut peer = scheduled(concat, &[], 10, &[cosine(6)]);
    peer.optimizers[0].groups[0].rate_of = RateOf::Last;
    let translated = translated(peer);
    assert_eq!(translated.at, Some(10));
    for (t, rates) in (0..40).zip(rates(&translated, 0, 40)) {
        let wanted = if t < 3 { 0.001 + 0.003 * t as f64 } else { cosine(t - 3) };
        assert!((rates[0] - wanted).abs() < 1e-14, "{t}: {} is not {wanted}", rates[0]);
    }
}

#[test]
fn a_scheduler_of_pytorch_uses_its_first_rate_twice() {
    let wrapped = |member: crate::peers::peer::Form| form("ignite.LRScheduler", [("event_index", 10.0)]).of([member]);
    let step = |counter: f64| form("torch.StepLR", [("step_size", 4.0), ("gamma", 0.5), ("last_epoch", counter)]);
    gives(wrapped(step(10.0)), 0.1, 10, |t| 0.1 * 0.5_f64.powi((t as i32 - 1) / 4));
    let exponential = form("torch.ExponentialLR", [("gamma", 0.9), ("last_epoch", 10.0)]);
    gives(wrapped(exponential), 0.1, 10, |t| 0.1 * 0.9_f64.powi(t as i32));
    let refusal = refused(scheduled(wrapped(step(11.0)), &[0.1], 10, &[0.025]));
    assert!(refusal.asked && refusal.reason.contains("use_legacy"), "{refusal}");
}

#[test]
fn another_parameter_than_the_rate_is_refused() {
    let mut form = cycle(10.0, "ignite.CosineAnnealingScheduler");
    form.settings.retain(|(key, _)| key != "param_name");
    let refusal = refused(scheduled(form.with("param_name", word("momentum")), &[0.01], 10, &[cosine(10)]));
    assert!(refusal.reason.contains("momentum"), "{refusal}");
}
