//! What a scheduler saves, and what it refuses to take back.

use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::state::{Part, State};
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
    let differences =
        ["the schedule was plateau() and is cosine(100)", "the saved memory is of no use to the schedule"];
    assert_eq!(after.differences(), differences);
    let mut back = scheduler("warmup(5) -> plateau()");
    back.load(&after.save().unwrap()).unwrap();
    assert_eq!(back.differences()[1], "`plateau` at schedule starts without memory");
}
