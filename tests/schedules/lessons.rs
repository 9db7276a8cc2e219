//! Defects of schedules in other trainers, which Rekindle avoids. Each test is named after the defect.

use crate::common::{ADAMW, EVERY_EPOCH, Lab, rates, small};
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::state::{State, Stateful};

const RUN: RunLength = RunLength { total_steps: Some(100), steps_per_epoch: 10 };

fn scheduler(schedule: &str) -> Scheduler {
    let schedule: Schedule = schedule.parse().unwrap();
    Scheduler::new(schedule, vec![0.1, 0.003], RUN).unwrap()
}

fn step(scheduler: &mut Scheduler, metric: f64) {
    scheduler.advance();
    scheduler.report(metric);
}

/// PyTorch's CosineAnnealingLR computes each rate from the last one, and differs from its own closed form on 87 of 100
/// steps.
#[test]
fn pytorch_recursive_cosine_stepping_and_seeking_give_the_same_bits() {
    let mut stepping = scheduler("cosine(100, eta_min=1e-3)");
    for t in 0..200 {
        let mut seeking = scheduler("cosine(100, eta_min=1e-3)");
        seeking.seek(t);
        assert_eq!(stepping.rates(), seeking.rates(), "step {t}");
        stepping.advance();
    }
}

/// pytorch #119168, #162591: Constant, Linear, Chained and Sequential are wrong when the optimizer is restored after
/// the scheduler, because they use the optimizer's last rate. Here a scheduler takes nothing from an optimizer.
#[test]
fn pytorch_119168_and_162591_the_order_of_restoring_does_not_matter() {
    let schedules = [
        "constant(0.1, 5)",
        "linear(0.1, 1, 20)",
        "chained([constant(0.1, 5), exponential(0.9)])",
        "sequential([4], [constant(0.1, 4), cosine(20)])",
    ];
    for schedule in schedules {
        let mut original = scheduler(schedule);
        (0..3).for_each(|_| original.advance());
        let state = original.save().unwrap();
        let mut fresh = scheduler(schedule);
        fresh.load(&state).unwrap();
        let mut used = scheduler(schedule);
        used.seek(77);
        used.load(&state).unwrap();
        for t in 0..40 {
            assert_eq!(fresh.rates_at(t), original.rates_at(t), "{schedule} at {t}");
            assert_eq!(used.rates_at(t), original.rates_at(t), "{schedule} at {t}");
        }
        assert_eq!((fresh.t(), used.t()), (3, 3));
    }
}

/// pytorch #168044, #65342: resuming with `last_epoch` is off by one, or asks for a missing `initial_lr`.
#[test]
fn pytorch_168044_and_65342_resuming_at_a_step_needs_nothing_but_the_step() {
    let mut resumed = scheduler("linear(0, 1, 10)");
    resumed.seek(4);
    assert_eq!(resumed.rates(), scheduler("linear(0, 1, 10)").rates_at(4));
    assert_eq!(resumed.base_lrs(), [0.1, 0.003]);
}

/// pytorch/examples #816, torchtune #2730: loading a state silently overrides the newly requested hyperparameters.
#[test]
fn pytorch_examples_816_and_torchtune_2730_what_is_asked_for_is_not_overridden_by_a_state() {
    let mut before = scheduler("cosine(100)");
    before.seek(30);
    let asked: Schedule = "cosine(200)".parse().unwrap();
    let mut after = Scheduler::new(asked.clone(), vec![0.2, 0.003], RUN).unwrap();
    after.load(&before.save().unwrap()).unwrap();
    assert_eq!(after.t(), 30);
    assert_eq!(after.schedule(), &asked);
    assert_eq!(after.rates(), Scheduler::new(asked, vec![0.2, 0.003], RUN).unwrap().rates_at(30));
    let differences =
        ["the schedule was cosine(100) and is cosine(200)", "the base rates were [0.1, 0.003] and are [0.2, 0.003]"];
    assert_eq!(after.differences(), differences);
}

/// PyTorch's OneCycleLR climbs back, or turns negative, one step past its end.
#[test]
fn pytorch_one_cycle_past_its_end_the_last_rate_holds() {
    for schedule in ["one_cycle(50)", r#"one_cycle(50, anneal="linear")"#, "one_cycle(50, three_phase=true)"] {
        let scheduler = scheduler(schedule);
        let last = scheduler.rates_at(49);
        assert!(last.iter().all(|rate| *rate > 0.0));
        for t in [50, 51, 100, 1_000_000_000_000, u64::MAX] {
            assert_eq!(scheduler.rates_at(t), last, "{schedule} at {t}");
        }
    }
}

/// torchtitan's linear decay goes negative past its end.
#[test]
fn torchtitan_linear_decay_past_its_end_the_rate_is_zero() {
    for schedule in ["linear(1, 0, 15)", "polynomial(15)", "wsd(0, 0, 15)"] {
        let scheduler = scheduler(schedule);
        for t in [15, 16, 1000, u64::MAX] {
            assert_eq!(scheduler.rates_at(t), [0.0, 0.0], "{schedule} at {t}");
        }
    }
}

/// PyTorch's ReduceLROnPlateau restores its counters, but the reduced rate is only in the optimizer.
#[test]
fn pytorch_plateau_restored_has_its_rate_again() {
    let mut before = scheduler("plateau(factor=0.5, patience=1)");
    (0..3).for_each(|_| step(&mut before, 1.0));
    assert_eq!(before.rates(), [0.05, 0.0015]);
    let mut after = scheduler("plateau(factor=0.5, patience=1)");
    after.load(&before.save().unwrap()).unwrap();
    assert_eq!(after.rates(), before.rates());
}

/// If the base rate has changed since, the restored rate is the same share of it.
#[test]
fn pytorch_plateau_restored_follows_a_changed_base_rate() {
    let mut before = scheduler("plateau(factor=0.5, patience=1)");
    (0..3).for_each(|_| step(&mut before, 1.0));
    let schedule: Schedule = "plateau(factor=0.5, patience=1)".parse().unwrap();
    let mut after = Scheduler::new(schedule, vec![0.4, 0.003], RUN).unwrap();
    after.load(&before.save().unwrap()).unwrap();
    assert_eq!(after.rates(), [0.2, 0.0015]);
}

/// PyTorch's LambdaLR is not saved: the checkpoint does not contain the function.
#[test]
fn pytorch_lambda_a_formula_is_saved_with_the_run() {
    let formula = r#"expr("base * 0.95^t + 1e-4 * sin(pi * t / 7)^2")"#;
    let mut before = scheduler(formula);
    (0..30).for_each(|_| before.advance());
    let saved = serde_json::to_string(&before.save().unwrap().json).unwrap();
    let state = State::from_json(serde_json::from_str(&saved).unwrap());
    let spec: Schedule = serde_json::from_value(state.json["spec"].clone()).unwrap();
    assert_eq!(&spec, before.schedule());
    let mut after = Scheduler::new(spec, vec![0.1, 0.003], RUN).unwrap();
    after.load(&state).unwrap();
    assert!(after.differences().is_empty());
    let bits = |rates: Vec<f64>| rates.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    for _ in 30..100 {
        assert_eq!(bits(after.rates()), bits(before.rates()));
        after.advance();
        before.advance();
    }
}

/// lightning #4655, #1772: a checkpoint taken before the scheduler stepped is one step off. Here the state after `s`
/// updates has `t = s`, and the resumed run starts with the rate of update `s`.
#[test]
fn lightning_4655_and_1772_the_state_after_s_updates_says_s() {
    let mut before = scheduler("exponential(0.5)");
    (0..7).for_each(|_| before.advance());
    let state = before.save().unwrap();
    assert_eq!(state.json["t"], 7);
    let mut after = scheduler("exponential(0.5)");
    after.load(&state).unwrap();
    assert_eq!(after.rates(), before.rates_at(7));
}

/// burn #5695, accelerate #662: a schedule advanced with every micro-batch, and rows that did not fill a window were
/// dropped. Here only an update advances it, for any number of reads, and the smaller last batch of an epoch is an
/// update.
#[test]
fn burn_5695_and_accelerate_662_only_updates_advance_the_schedule() {
    let mut scheduler = scheduler("exponential(0.5)");
    for t in 0..5 {
        for _micro_batch in 0..4 {
            assert_eq!(scheduler.rates(), [0.1 * 0.5f64.powi(t), 0.003 * 0.5f64.powi(t)]);
        }
        scheduler.advance();
    }
    // 48 rows in batches of 13: four updates an epoch, the last with 9 rows.
    let lab = Lab::in_memory(&small(ADAMW, "exponential(0.5)", EVERY_EPOCH));
    lab.start("run");
    let expected: Vec<f64> = (0..12).map(|t| 0.05 * 0.5f64.powi(t)).collect();
    assert_eq!(rates(&lab.path("run")), expected);
}
