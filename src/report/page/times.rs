//! Events of a run with their steps and times: processes that began and ended, saves, changes; and its speed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings;
use super::thin::{Curve, Thinner};
use crate::store;
use crate::train::{Ending, RunEnd};

/// Most events of one kind on a page.
const MOST: usize = 1000;

/// An event of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// Number of updates made.
    pub step: u64,
    /// Its time, in seconds since 1970, if it is known.
    pub time: Option<f64>,
    /// One line for people.
    pub text: String,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The run began, here or in another trainer.
    Begin,
    /// A checkpoint that is there.
    Checkpoint,
    /// A checkpoint that a rule has deleted.
    Deleted,
    /// A process was killed.
    Kill,
    /// A process continued the run.
    Resume,
    /// The configuration was changed on a resume.
    Change,
    /// A signal stopped the run.
    Stop,
    /// All updates were made.
    Finish,
    /// An error ended the run.
    Fail,
}

/// A line of `timing.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Timed {
    event: String,
    step: u64,
    seconds: f64,
    unix_time: f64,
    /// Memory of the process in bytes.
    memory: Option<u64>,
}

/// Reads the times of the run at `run`; empty if there are none.
pub(super) fn read(run: &Path) -> Vec<Timed> {
    let text = store::read_to_string(&run.join("timing.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns the events of a run in their order. `saved` are the steps of the checkpoints that are there.
pub(super) fn events(run: &Path, times: &[Timed], saved: &[u64], history: &[Value], is_alive: bool) -> Vec<Event> {
    let mut events = thinned(of_processes(times, RunEnd::read(run), is_alive));
    events.extend(of_saves(times, saved));
    for entry in history {
        events.extend(of_history(entry));
    }
    events.sort_by_key(|event| event.step);
    events
}

/// The beginnings and ends of processes. Before `begin` was recorded, kills are not known.
fn of_processes(times: &[Timed], outcome: Option<RunEnd>, is_alive: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let mut last: Option<&Timed> = None;
    // Whether a process has begun and not ended. What another trainer's run was made with has not begun.
    let (mut is_open, mut has_begun) = (false, false);
    for timed in times.iter().filter(|timed| timed.event != "saved") {
        let time = Some(timed.unix_time);
        if timed.event == "begin" {
            if let Some(before) = last.filter(|_| is_open) {
                events.push(kill(before, Some(timed.step)));
            }
            let (kind, text) = match has_begun {
                false => (EventKind::Begin, "began".to_owned()),
                true => (EventKind::Resume, format!("continued at step {}", timed.step)),
            };
            events.push(Event { kind, step: timed.step, time, text });
            (is_open, has_begun) = (true, true);
        } else if timed.event == "end" {
            let text = format!("stopped after step {}", timed.step);
            events.push(Event { kind: EventKind::Stop, step: timed.step, time, text });
            (is_open, has_begun) = (false, true);
        }
        last = Some(timed);
    }
    match (last, outcome) {
        (Some(last), _) if is_open && !is_alive => events.push(kill(last, None)),
        (Some(last), Some(outcome)) if last.event == "end" => {
            if let Some(end) = events.iter_mut().rev().find(|event| event.kind == EventKind::Stop) {
                (end.kind, end.text) = ending(&outcome);
            }
        }
        _ => {}
    }
    events
}

/// A process that left no end: `last` is the last of it.
fn kill(last: &Timed, continued_at: Option<u64>) -> Event {
    let again = match continued_at {
        Some(step) if step < last.step => format!("; the steps from {step} are made again"),
        _ => String::new(),
    };
    let text = format!("killed after step {}, or later{again}", last.step);
    Event { kind: EventKind::Kill, step: last.step, time: Some(last.unix_time), text }
}

fn ending(end: &RunEnd) -> (EventKind, String) {
    match (end.outcome, end.signal, &end.error) {
        (Ending::Finished, ..) => (EventKind::Finish, end.reason.clone().unwrap_or_else(|| "finished".to_owned())),
        (Ending::Stopped, Some(signal), _) => (EventKind::Stop, format!("stopped by signal {signal}")),
        (Ending::Stopped, None, _) => {
            let reason = end.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            (EventKind::Stop, format!("stopped{reason}"))
        }
        (Ending::Failed, _, error) => {
            (EventKind::Fail, format!("failed: {}", error.as_deref().unwrap_or("the reason is not known")))
        }
    }
}

/// The saves that are there, and those of which only the time is known.
fn of_saves(times: &[Timed], saved: &[u64]) -> Vec<Event> {
    // The last save of each step.
    let mut gone: BTreeMap<u64, &Timed> =
        times.iter().filter(|timed| timed.event == "saved").map(|timed| (timed.step, timed)).collect();
    let there: Vec<Event> = saved
        .iter()
        .map(|step| {
            let timed = gone.remove(step);
            let took = timed.map(|timed| format!(", saved in {:.2} s", timed.seconds)).unwrap_or_default();
            let text = format!("checkpoint of step {step}{took}");
            Event { kind: EventKind::Checkpoint, step: *step, time: timed.map(|timed| timed.unix_time), text }
        })
        .collect();
    let gone = gone.into_values().map(|timed| Event {
        kind: EventKind::Deleted,
        step: timed.step,
        time: Some(timed.unix_time),
        text: format!("checkpoint of step {}, deleted since", timed.step),
    });
    thinned(there).into_iter().chain(thinned(gone.collect())).collect()
}

/// Keeps every second, or third, and so on, and the last.
pub(super) fn thinned<T>(events: Vec<T>) -> Vec<T> {
    let (stride, last) = (events.len().div_ceil(MOST).max(1), events.len().saturating_sub(1));
    let kept = events.into_iter().enumerate().filter(|(place, _)| place % stride == 0 || *place == last);
    kept.map(|(_, event)| event).collect()
}

fn of_history(entry: &Value) -> Option<Event> {
    let step = entry["step"].as_u64()?;
    if entry["imported"].is_object() {
        let text = format!("taken over from another trainer at step {step}");
        return Some(Event { kind: EventKind::Begin, step, time: None, text });
    }
    let changes = entry["changes"].as_array()?.iter();
    let change = |change: &Value| {
        let key = change["key"].as_str().unwrap_or("?");
        format!("{key}: {} → {}", settings::text(&change["from"]), settings::text(&change["to"]))
    };
    let text = changes.map(change).collect::<Vec<_>>().join("; ");
    Some(Event { kind: EventKind::Change, step, time: None, text })
}

/// Returns the speed in steps per second, and the memory of the process in bytes, as far as they are recorded.
pub(super) fn curves(times: &[Timed], most: usize) -> Vec<Curve> {
    let (mut speed, mut memory) = (Thinner::new(most), Thinner::new(most));
    let marks = times.iter().filter(|timed| timed.event != "saved").collect::<Vec<_>>();
    for pair in marks.windows(2) {
        let [before, now] = pair else { continue };
        let seconds = now.unix_time - before.unix_time;
        if now.event != "begin" && before.event != "end" && now.step > before.step && seconds > 0.0 {
            speed.push(now.step - 1, (now.step - before.step) as f64 / seconds);
        }
    }
    for timed in times {
        if let Some(bytes) = timed.memory {
            memory.push(timed.step.saturating_sub(1), bytes as f64);
        }
    }
    let curves = [speed.curve("steps_per_second"), memory.curve("memory")];
    curves.into_iter().filter(|curve| !curve.x.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn timed(event: &str, step: u64, unix_time: f64) -> Timed {
        Timed { event: event.to_owned(), step, seconds: 0.25, unix_time, memory: Some(1000 + step) }
    }

    fn kinds(events: &[Event]) -> Vec<(EventKind, u64)> {
        events.iter().map(|event| (event.kind, event.step)).collect()
    }

    #[test]
    fn a_process_without_an_end_was_killed() {
        use EventKind::{Begin, Kill, Resume, Stop};
        let times = [
            timed("begin", 0, 0.0),
            timed("copied", 0, 1.0),
            timed("step", 15, 2.0),
            timed("begin", 10, 3.0),
            timed("end", 20, 4.0),
            timed("begin", 20, 5.0),
        ];
        let expected = [(Begin, 0), (Kill, 15), (Resume, 10), (Stop, 20), (Resume, 20)];
        assert_eq!(kinds(&of_processes(&times, None, true)), expected);
        let killed = of_processes(&times, None, false);
        assert_eq!(kinds(&killed), [&expected[..], &[(Kill, 20)]].concat());
        assert_eq!(killed[1].text, "killed after step 15, or later; the steps from 10 are made again");
        // An import saves, and begins no process.
        let imported = [timed("copied", 500, 1.0), timed("begin", 500, 9.0)];
        assert_eq!(kinds(&of_processes(&imported, None, true)), [(Begin, 500)]);
    }

    #[test]
    fn the_last_end_is_as_the_outcome_says() {
        let times = [timed("begin", 0, 0.0), timed("end", 20, 4.0)];
        let mut outcome = RunEnd {
            outcome: Ending::Failed,
            step: 20,
            signal: None,
            reason: None,
            error: Some("the loss is NaN".to_owned()),
            exit_code: 1,
            unix_time: 4.0,
        };
        let failed = of_processes(&times, Some(outcome.clone()), false);
        assert_eq!((failed[1].kind, failed[1].text.as_str()), (EventKind::Fail, "failed: the loss is NaN"));
        outcome.outcome = Ending::Finished;
        assert_eq!(kinds(&of_processes(&times, Some(outcome), false))[1], (EventKind::Finish, 20));
    }

    #[test]
    fn a_save_is_there_or_deleted_and_a_change_has_both_values() {
        let times = [timed("saved", 10, 1.0), timed("saved", 20, 2.0)];
        let history = [
            json!({"step": 5, "imported": {"from": "torch"}}),
            json!({"step": 20, "changes": [{"key": "optimizer.lr", "from": 0.1, "to": 0.01}]}),
        ];
        let found = events(Path::new("nowhere"), &times, &[20], &history, false);
        use EventKind::{Begin, Change, Checkpoint, Deleted};
        assert_eq!(kinds(&found), [(Begin, 5), (Deleted, 10), (Checkpoint, 20), (Change, 20)]);
        assert_eq!(found[2].text, "checkpoint of step 20, saved in 0.25 s");
        assert_eq!(found[3].text, "optimizer.lr: 0.1 → 0.01");
    }

    #[test]
    fn the_speed_is_that_of_a_process_and_not_of_the_time_between_two() {
        let times = [
            timed("begin", 0, 0.0),
            timed("step", 10, 2.0),
            timed("end", 20, 3.0),
            timed("begin", 20, 1000.0),
            timed("step", 30, 1010.0),
        ];
        let [speed, memory] = curves(&times, 100).try_into().unwrap();
        assert_eq!((speed.x, speed.y), (vec![9, 10, 10], vec![Some(5.0), Some(10.0), Some(1.0)]));
        assert_eq!((memory.name.as_str(), memory.y.last()), ("memory", Some(&Some(1030.0))));
    }

    #[test]
    fn thousands_of_saves_are_thinned() {
        let saved: Vec<u64> = (0..5000).collect();
        let found = of_saves(&[], &saved);
        assert!(found.len() <= MOST + 1 && found.last().unwrap().step == 4999, "{}", found.len());
    }
}
