//! Saved states of a scheduler, and refused ones.

use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::state::{State, Stateful};
use serde_json::{Value, json};

const RUN: RunLength = RunLength { total_steps: Some(100), steps_per_epoch: 10 };

fn scheduler(schedule: &str) -> Scheduler {
    let schedule: Schedule = schedule.parse().unwrap();
    Scheduler::new(schedule, vec![0.1, 0.003], RUN).unwrap()
}

fn saved(schedule: &str) -> Value {
    scheduler(schedule).save().unwrap().json
}

fn refusal(schedule: &str, state: Value) -> String {
    scheduler(schedule).check(&State::from_json(state)).unwrap_err().to_string()
}

#[test]
fn a_state_is_time_base_rates_schedule_and_memory() {
    let expected = json!({"t": 0, "base_lrs": [0.1, 0.003], "spec": {"kind": "cosine", "t_max": 20}, "memory": null});
    assert_eq!(saved("cosine(20)"), expected);
}

#[test]
fn a_memory_holds_infinities_as_words() {
    let memory = json!({"kind": "plateau", "best": "inf", "num_bad": 0, "cooldown_counter": 0, "lrs": [0.1, 0.003]});
    assert_eq!(saved("plateau()")["memory"], memory);
    assert_eq!(saved(r#"plateau(mode="max")"#)["memory"]["best"], "-inf");
}

#[test]
fn memories_inside_are_saved_by_place() {
    let memory = &saved("warmup(5) -> chained([cosine(20), plateau(), greedy()])")["memory"];
    assert_eq!(memory["schedule.schedules[1]"]["kind"], "plateau");
    assert_eq!(memory["schedule.schedules[2]"]["kind"], "greedy");
    assert_eq!(memory.as_object().unwrap().len(), 2);
}

#[test]
fn a_memory_of_another_kind_is_refused() {
    let message = refusal("greedy()", saved("plateau()"));
    assert_eq!(message, "the kind of the memory is plateau in the checkpoint and greedy here");
}

#[test]
fn another_number_of_groups_is_refused() {
    let mut state = saved("cosine(20)");
    state["base_lrs"] = json!([0.1]);
    assert_eq!(refusal("cosine(20)", state), "the number of parameter groups is 1 in the checkpoint and 2 here");
}

#[test]
fn an_unknown_kind_in_a_state_is_refused_by_name() {
    let mut state = saved("cosine(20)");
    state["spec"]["kind"] = json!("cosinus");
    let message = refusal("cosine(20)", state);
    assert!(message.contains("there is no kind of schedule called `cosinus`; did you mean `cosine`?"), "{message}");
}

#[test]
fn a_damaged_memory_is_refused_and_changes_nothing() {
    let damages = [("best", json!("much")), ("lrs", json!([0.1])), ("lrs", json!([0.1, -1.0])), ("num_bad", json!(-1))];
    for (field, value) in damages {
        let mut state = saved("plateau()");
        state["memory"][field] = value.clone();
        let mut scheduler = scheduler("plateau()");
        let before = scheduler.save().unwrap();
        assert!(scheduler.load(&State::from_json(state)).is_err(), "{field} = {value}");
        assert_eq!(scheduler.save().unwrap(), before);
    }
}

#[test]
fn an_extra_or_missing_field_is_refused() {
    let mut extra = saved("cosine(20)");
    extra["momentum"] = json!(0.9);
    assert!(refusal("cosine(20)", extra).contains("momentum"));
    let mut missing = saved("cosine(20)");
    missing.as_object_mut().unwrap().remove("t");
    assert!(refusal("cosine(20)", missing).contains('t'));
}

#[test]
fn a_changed_schedule_keeps_the_time_and_says_what_became_of_the_memory() {
    let mut before = scheduler("plateau()");
    before.seek(30);
    let state = before.save().unwrap();
    let mut after = scheduler("cosine(100)");
    after.load(&state).unwrap();
    assert_eq!(after.t(), 30);
    let differences = ["the schedule was plateau() and is cosine(100)", "the saved memory is not used by the schedule"];
    assert_eq!(after.differences(), differences);
    let mut back = scheduler("warmup(5) -> plateau()");
    back.load(&after.save().unwrap()).unwrap();
    assert_eq!(back.differences()[1], "`plateau` at schedule starts without memory");
}

#[test]
fn a_resumed_run_follows_another_schedule_from_where_it_is() {
    let others =
        ["step(7, gamma=0.5)", "linear(1, 0, 80)", "one_cycle(90)", "expr(\"base / (1 + t)\")", "cosine(\"50%\")"];
    for other in others {
        let mut before = scheduler("warmup(5) -> cosine(45)");
        (0..30).for_each(|_| before.advance());
        let mut resumed = scheduler(other);
        resumed.load(&before.save().unwrap()).unwrap();
        assert_eq!(resumed.t(), 30);
        assert_eq!(resumed.differences().len(), 1, "{:?}", resumed.differences());
        let fresh = scheduler(other);
        for t in 30..120 {
            assert_eq!(resumed.rates(), fresh.rates_at(t), "{other} at {t}");
            resumed.advance();
        }
    }
}

#[test]
fn a_run_made_longer_stretches_what_is_a_share_of_it() {
    let plan = |total| {
        let schedule: Schedule = "warmup(10) -> cosine(90%)".parse().unwrap();
        let run = RunLength { total_steps: Some(total), steps_per_epoch: 10 };
        Scheduler::new(schedule, vec![0.1, 0.003], run).unwrap()
    };
    let mut before = plan(100);
    before.seek(60);
    let mut longer = plan(200);
    longer.load(&before.save().unwrap()).unwrap();
    assert_eq!(longer.t(), 60);
    let written_out = scheduler("warmup(10) -> cosine(180)");
    for t in 0..250 {
        assert_eq!(longer.rates_at(t), written_out.rates_at(t));
    }
}

#[test]
fn a_run_past_the_end_of_its_schedule_holds_the_last_rate() {
    let schedules = [
        "constant(0.5)",
        "linear(0.1, 0.7, 40)",
        "multi_step([10, 40])",
        "polynomial(40, power=2, eta_min=1e-3)",
        "cosine(40, eta_min=1e-3)",
        "cosine_restarts(10, cycle_limit=4, eta_min=1e-3)",
        "one_cycle(41)",
        "wsd(5, 20, 15, min_ratio=0.1)",
        "tanh(40, eta_min=1e-3)",
        "piecewise([[0, 1], [40, 0.2]], interpolate=\"cosine\")",
        "warmup(10) -> cosine(30, eta_min=1e-3)",
        "late(10, cosine(30, eta_min=1e-3))",
        "in_f32(cosine(40, eta_min=1e-3))",
        "sequential([10], [constant, linear(1, 0.1, 30)])",
        "linear(1, 0.1, 4, unit=\"epoch\")",
        "chained([cosine(40, eta_min=1e-3), multi_step([20])])",
    ];
    for schedule in schedules {
        let scheduler = scheduler(schedule);
        let last = scheduler.rates_at(40);
        for t in [41, 50, 99, 100, 101, 100_000, 1 << 53, u64::MAX] {
            assert_eq!(scheduler.rates_at(t), last, "{schedule} at {t}");
        }
    }
}

/// The memory of a place that the new schedule also has is kept; the others start from the beginning.
#[test]
fn a_schedule_changed_around_a_plateau_keeps_what_it_has_learned() {
    let mut before = scheduler("warmup(2) -> plateau(factor=0.5, patience=0)");
    for _ in 0..5 {
        before.advance();
        before.report(1.0);
    }
    assert_eq!(before.rates(), [0.025, 0.00075]);
    let mut after = scheduler("warmup(3) -> plateau(factor=0.1, patience=0)");
    after.load(&before.save().unwrap()).unwrap();
    assert_eq!(after.rates(), [0.025, 0.00075]);
    after.advance();
    after.report(1.0);
    assert_eq!(after.rates(), [0.025 * 0.1, 0.00075 * 0.1]);
}
