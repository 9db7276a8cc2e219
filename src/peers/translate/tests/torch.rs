//! PyTorch's schedulers against their recursions (`torch/optim/lr_scheduler.py` of 2.15).

use std::f64::consts::PI;

use crate::peers::peer::{Form, RateOf, Setting, Unit};
use crate::peers::translate::testing::*;

/// Follows a recursion: `next(t, rate)` is the rate of update `t` from that of update `t - 1`.
fn recursion(first: f64, next: impl Fn(u64, f64) -> f64) -> impl Fn(u64) -> f64 {
    move |t| (1..=t).fold(first, |rate, t| next(t, rate))
}

fn numbers(values: &[f64]) -> Setting {
    Setting::Numbers(values.to_vec())
}

#[test]
fn schedulers_that_multiply_follow_their_recursions() {
    let step = form("torch.StepLR", [("step_size", 4.0), ("gamma", 0.5)]);
    gives(step, 0.1, 10, recursion(0.1, |t, rate| if t % 4 == 0 { rate * 0.5 } else { rate }));
    let milestones = form("torch.MultiStepLR", [("gamma", 0.5)]).with("milestones", numbers(&[3.0, 12.0, 12.0]));
    gives(
        milestones,
        0.1,
        10,
        recursion(0.1, |t, rate| match t {
            3 => rate * 0.5,
            12 => rate * 0.25,
            _ => rate,
        }),
    );
    gives(form("torch.ExponentialLR", [("gamma", 0.9)]), 0.1, 10, recursion(0.1, |_, rate| rate * 0.9));
    let linear = form("torch.LinearLR", [("start_factor", 0.2), ("end_factor", 0.8), ("total_iters", 20.0)]);
    gives(
        linear,
        0.1,
        10,
        recursion(0.02, |t, rate| match t {
            21.. => rate,
            t => rate * (1.0 + 0.6 / (20.0 * 0.2 + (t - 1) as f64 * 0.6)),
        }),
    );
    let constant = form("torch.ConstantLR", [("factor", 0.25), ("total_iters", 12.0)]);
    gives(constant, 0.1, 10, recursion(0.025, |t, rate| if t == 12 { rate / 0.25 } else { rate }));
    let polynomial = form("torch.PolynomialLR", [("total_iters", 25.0), ("power", 2.0)]);
    gives(
        polynomial,
        0.1,
        10,
        recursion(0.1, |t, rate| match t {
            26.. => rate,
            t => rate * ((1.0 - t as f64 / 25.0) / (1.0 - (t - 1) as f64 / 25.0)).powi(2),
        }),
    );
}

#[test]
fn a_factor_above_one_is_followed_upwards() {
    gives(form("torch.ExponentialLR", [("gamma", 1.1)]), 1e-3, 10, |t| 1e-3 * 1.1_f64.powi(t as i32));
    let step = form("torch.StepLR", [("step_size", 4.0), ("gamma", 2.0)]);
    gives(step, 1e-3, 10, |t| 1e-3 * 2_f64.powi((t / 4) as i32));
}

/// The recursion of `CosineAnnealingLR`, which rises again after `t_max`.
fn cosine(base: f64, floor: f64, t_max: u64) -> impl Fn(u64) -> f64 {
    let wave = move |t: u64| 1.0 + (PI * t as f64 / t_max as f64).cos();
    recursion(base, move |t, rate| {
        if (t + t_max - 1).is_multiple_of(2 * t_max) {
            return rate + (base - floor) * (1.0 - (PI / t_max as f64).cos()) / 2.0;
        }
        wave(t) / wave(t - 1) * (rate - floor) + floor
    })
}

#[test]
fn a_cosine_rises_again_after_its_end() {
    let settings = form("torch.CosineAnnealingLR", [("T_max", 20.0), ("eta_min", 1e-4)]);
    gives(settings.clone(), 0.01, 10, cosine(0.01, 1e-4, 20));
    gives(settings, 0.01, 27, cosine(0.01, 1e-4, 20));
}

#[test]
fn warm_restarts_stand_at_the_cycles_before_and_their_counter() {
    let rate = |t: u64| {
        let (passed, length) = match t {
            0..4 => (t, 4),
            4..12 => (t - 4, 8),
            12..28 => (t - 12, 16),
            28..60 => (t - 28, 32),
            _ => (t - 60, 64),
        };
        0.001 + (0.1 - 0.001) * (1.0 + (PI * passed as f64 / length as f64).cos()) / 2.0
    };
    let at = |t_i: f64, t_cur: f64, last_epoch: f64| {
        let settings = [("T_0", 4.0), ("T_mult", 2.0), ("eta_min", 0.001), ("T_i", t_i), ("T_cur", t_cur)];
        form("torch.CosineAnnealingWarmRestarts", settings).with("last_epoch", Setting::Number(last_epoch))
    };
    gives(at(8.0, 6.0, 10.0), 0.1, 10, rate);
    let mut fraction = scheduled(at(8.0, 2.5, 6.0), &[0.1], 6, &[0.05]);
    fraction.schedules[0].at = Some(2.5);
    let refusal = refused(fraction);
    assert_eq!(refusal.thing, "torch.CosineAnnealingWarmRestarts T_cur");
    assert!(refusal.reason.contains("2.5") && !refusal.asked, "{refusal}");
}

#[test]
fn cycles_move_momentum_against_the_rate() {
    let settings = [("total_size", 10.0), ("step_ratio", 0.4), ("gamma", 1.0)];
    let cyclic = form("torch.CyclicLR", settings)
        .with("mode", word("triangular2"))
        .with("max_lrs", numbers(&[0.1]))
        .with("cycle_momentum", Setting::Bool(true))
        .with("base_momentums", numbers(&[0.8]))
        .with("max_momentums", numbers(&[0.9]));
    let height = |t: u64| {
        let (passed, cycle) = ((t % 10) as f64, t / 10);
        let height = if passed <= 4.0 { passed / 4.0 } else { (10.0 - passed) / 6.0 };
        height / 2_f64.powi(cycle as i32)
    };
    let translated = gives(cyclic, 0.01, 12, |t| 0.01 + 0.09 * height(t));
    let plan = translated.schedule.plan(&RUN, 1).unwrap();
    assert!((plan.momentum(14, 0).unwrap() - (0.9 - 0.1 * height(14))).abs() < 1e-12);
}

#[test]
fn one_cycle_has_its_peak_as_base() {
    let phases = numbers(&[4.0, 19.0]);
    let one = form("torch.OneCycleLR", [("total_steps", 20.0)])
        .with("_schedule_phases", phases)
        .with("_anneal_func_type", word("cos"))
        .with("cycle_momentum", Setting::Bool(true));
    let half = |from: f64, to: f64, x: f64| to + (from - to) / 2.0 * (1.0 + (PI * x).cos());
    let rate = |t: u64| match t as f64 {
        t if t <= 4.0 => half(0.004, 0.1, t / 4.0),
        t => half(0.1, 4e-7, ((t - 4.0) / 15.0).min(1.0)),
    };
    let mut peer = scheduled(one, &[0.004], 10, &[rate(10)]);
    let moved = [("max_lr", 0.1), ("min_lr", 4e-7), ("base_momentum", 0.85), ("max_momentum", 0.95)];
    peer.optimizers[0].groups = vec![group(Some(rate(10)), moved)];
    peer.optimizers[0].groups[0].initial_lr = Some(0.004);
    let translated = translated(peer);
    assert_eq!(translated.base_lrs, [0.1]);
    for (t, rates) in (10..20).zip(rates(&translated, 10, 20)) {
        assert!((rates[0] - rate(t)).abs() <= 1e-12 * 0.1, "{t}: {} is not {}", rates[0], rate(t));
    }
    let plan = translated.schedule.plan(&RUN, 1).unwrap();
    assert!((plan.momentum(4, 0).unwrap() - 0.85).abs() < 1e-12);
}

#[test]
fn a_plateau_keeps_its_memory_and_its_present_rate() {
    let settings =
        [("factor", 0.5), ("patience", 2.0), ("num_bad_epochs", 2.0), ("best", 0.75), ("cooldown_counter", 0.0)];
    let plateau = form("torch.ReduceLROnPlateau", settings).with("mode", word("min"));
    let translated = translated(scheduled(plateau, &[], 10, &[0.025]));
    let memory = translated.memory.clone().unwrap();
    assert_eq!((memory["num_bad"].as_u64(), memory["best"].as_f64()), (Some(2), Some(0.75)));
    let mut scheduler =
        crate::schedule::Scheduler::new(translated.schedule.clone(), translated.base_lrs.clone(), RUN).unwrap();
    let saved = serde_json::json!({
        "t": 10, "base_lrs": translated.base_lrs, "spec": translated.schedule, "memory": memory
    });
    crate::state::Stateful::load(&mut scheduler, &crate::state::State::from_json(saved)).unwrap();
    assert_eq!(scheduler.rates(), [0.025]);
    scheduler.report(0.8);
    assert_eq!(scheduler.rates(), [0.0125], "the third bad report in a row halves the rate");
}

#[test]
fn a_plateau_counts_reports_whatever_its_unit() {
    let settings = [("factor", 0.5), ("patience", 2.0), ("num_bad_epochs", 0.0), ("best", 0.75), ("last_epoch", 5.0)];
    for unit in [Unit::Epochs, Unit::Unknown, Unit::Updates] {
        let mut peer = scheduled(form("torch.ReduceLROnPlateau", settings), &[], 5, &[0.025]);
        peer.schedules[0].unit = unit;
        (peer.updates, peer.optimizers[0].updates) = (Some(20), Some(20));
        let counted = translated(peer.clone());
        assert!(!counted.per_epoch && counted.at == Some(20) && counted.notes[1].contains("there were 5"));
        // Its counter is no number of updates.
        (peer.updates, peer.optimizers[0].updates) = (None, None);
        assert_eq!(translated(peer).at, None);
    }
}

#[test]
fn a_sequence_that_was_saved_before_its_step_is_in_its_place() {
    let member = |counter: f64| form("torch.ExponentialLR", [("gamma", 0.5), ("last_epoch", counter)]);
    let mut sequence = form("torch.SequentialLR", [("last_epoch", 9.0)]).of([member(3.0), member(5.0)]);
    sequence = sequence.with("_milestones", numbers(&[4.0]));
    let saved = |at: u64, rate_of: RateOf| {
        let mut peer = scheduled(sequence.clone(), &[0.1], at, &[0.1 * 0.5_f64.powi(5)]);
        peer.optimizers[0].groups[0].rate_of = rate_of;
        translated(peer)
    };
    assert_eq!(saved(10, RateOf::Last).at, Some(10));
    assert_eq!(saved(9, RateOf::Next).at, Some(9));
}

#[test]
fn averaging_continues_from_the_rate_at_its_start() {
    let swa = form("torch.SWALR", [("anneal_epochs", 20.0)]).with("_anneal_strategy", word("cos"));
    let share = |t: u64| (1.0 - (PI * (t as f64 / 20.0).min(1.0)).cos()) / 2.0;
    let rate = |t: u64| 0.02 * share(t) + 0.1 * (1.0 - share(t));
    let mut peer = scheduled(swa, &[0.5], 7, &[rate(7)]);
    peer.optimizers[0].groups = vec![group(Some(rate(7)), [("swa_lr", 0.02)])];
    let translated = translated(peer);
    for (t, rates) in (7..30).zip(rates(&translated, 7, 30)) {
        assert!((rates[0] - rate(t)).abs() <= 1e-12, "{t}: {} is not {}", rates[0], rate(t));
    }
}

fn warmup_then_cosine(member: f64) -> Form {
    let warmup = form("torch.LinearLR", [("start_factor", 0.1), ("end_factor", 1.0), ("total_iters", 4.0)])
        .with("last_epoch", Setting::Number(3.0));
    let cosine = form("torch.CosineAnnealingLR", [("T_max", 16.0), ("eta_min", 0.0)])
        .with("last_epoch", Setting::Number(member));
    form("torch.SequentialLR", []).with("_milestones", numbers(&[4.0])).of([warmup, cosine])
}

#[test]
fn a_sequence_counts_each_member_from_its_milestone() {
    let cosine = cosine(0.1, 0.0, 16);
    gives(warmup_then_cosine(6.0), 0.1, 10, |t| match t {
        0..4 => 0.1 * (0.1 + 0.9 * t as f64 / 4.0),
        t => cosine(t - 4),
    });
    let refusal = refused(scheduled(warmup_then_cosine(5.0), &[0.1], 10, &[cosine(6)]));
    assert!(refusal.reason.contains("stands at 5") && refusal.reason.contains("put it at 6"), "{refusal}");
}

#[test]
fn a_chain_multiplies_and_refuses_members_that_do_not() {
    let constant = || form("torch.ConstantLR", [("factor", 0.25), ("total_iters", 12.0)]);
    let exponential = form("torch.ExponentialLR", [("gamma", 0.9)]);
    let chain = form("torch.ChainedScheduler", []).of([constant(), exponential]);
    gives(chain, 0.1, 10, |t| if t < 12 { 0.025 } else { 0.1 } * 0.9_f64.powi(t as i32));
    let floor = form("torch.CosineAnnealingLR", [("T_max", 16.0), ("eta_min", 0.01)]);
    let refusal = refused(scheduled(form("torch.ChainedScheduler", []).of([constant(), floor]), &[0.1], 10, &[0.01]));
    assert_eq!(refusal.thing, "torch.CosineAnnealingLR in a ChainedScheduler");
}

#[test]
fn a_function_is_asked_for() {
    let refusal = refused(scheduled(form("torch.LambdaLR", []), &[0.1], 10, &[0.05]));
    assert!(refusal.asked && refusal.reason.contains("schedule ="), "{refusal}");
}

#[test]
fn a_rate_that_somebody_changed_is_refused_with_both_values() {
    let step = form("torch.StepLR", [("step_size", 4.0), ("gamma", 0.5)]);
    let refusal = refused(scheduled(step.clone(), &[0.1], 10, &[0.03]));
    assert!(refusal.reason.contains("0.03") && refusal.reason.contains("0.025"), "{refusal}");
    let mut last = scheduled(step, &[0.1], 12, &[0.025]);
    last.optimizers[0].groups[0].rate_of = RateOf::Last;
    assert_eq!(rates(&translated(last), 12, 13), [[0.0125]], "the file's rate is that of update 11");
}
