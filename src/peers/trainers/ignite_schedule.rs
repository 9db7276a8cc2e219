//! The state of Ignite's own schedulers, which have neither a class nor a rate in it.

use std::f64::consts::PI;

use super::progress::rate_all;
use super::settings::setting;
use super::torch_schedule;
use crate::peers::peer::{Form, Peer, RateOf, Schedule, Unit};
use crate::peers::tree::{Ref, Value};

/// Levels of schedulers inside schedulers that are read.
const MOST_LEVELS: usize = 8;
/// Keys that a state may have.
const MOST_KEYS: usize = 100;
/// Schedulers that are read.
const MOST_MEMBERS: usize = 1000;
/// Difference of rates that rounding can make, as a part of them.
const ROUNDING: f64 = 1e-9;

/// Returns whether `value` is the state of a scheduler of Ignite.
pub(super) fn is_scheduler(value: Ref<'_>) -> bool {
    let has = |key: &str| value.get(key).is_some();
    has("event_index") && has("param_name") || has("durations") && has("schedulers") || is_parallel(value)
}

/// Returns whether it is the state of a `ParamGroupScheduler`, a list of names and states.
fn is_parallel(value: Ref<'_>) -> bool {
    value
        .get("schedulers")
        .and_then(Ref::items)
        .is_some_and(|mut all| all.any(|pair| pair.items().is_some_and(|it| it.len() == 2)))
}

/// Adds the schedule of the first optimizer whose state is `dict`.
pub(super) fn add(peer: &mut Peer, place: &str, dict: Ref<'_>) {
    let mut members = 0;
    let mut form = form(dict, 0, &mut members);
    let at = at(&form, 0);
    // The scheduler sets the rate at the start of an iteration, so the file has that of the last one.
    let last = peer.optimizers.first().and_then(|optimizer| optimizer.groups.first()?.lr);
    settle_cycles(&mut form, last, 0);
    if let Some(class) = unknown(&form, 0) {
        peer.missing.push(format!("the schedule's form: {place} has {class}, whose class its state does not tell"));
    }
    // One of PyTorch's is stepped after the update, if it is used as Ignite's documentation says.
    let rate_of = if form.class == "ignite.LRScheduler" { RateOf::Next } else { RateOf::Last };
    peer.schedules.push(Schedule {
        optimizer: 0,
        at,
        unit: Unit::Unknown,
        base_lrs: Vec::new(),
        last_lrs: Vec::new(),
        late: 0,
        in_f32: false,
        form,
    });
    rate_all(peer, 0, rate_of);
}

fn form(dict: Ref<'_>, level: usize, members: &mut usize) -> Form {
    if let Some(inner) = dict.get("lr_scheduler").filter(|inner| torch_schedule::is_scheduler(*inner)) {
        let mut form = with_settings("ignite.LRScheduler", dict);
        form.members.push(torch_schedule::form(inner));
        return form;
    }
    let has = |key: &str| dict.get(key).is_some();
    let class = match () {
        () if has("durations") && has("schedulers") => "ignite.ConcatScheduler",
        () if has("schedulers") => "ignite.ParamGroupScheduler",
        () if has("values") && has("milestones") => "ignite.PiecewiseLinear",
        () if has("cycle_size") && has("start_value") => "ignite.CyclicalScheduler",
        () => "unknown",
    };
    let mut form = with_settings(class, dict);
    for member in dict.get("schedulers").and_then(Ref::items).into_iter().flatten() {
        if level >= MOST_LEVELS || *members >= MOST_MEMBERS {
            form.class = "unknown".to_owned();
            break;
        }
        *members += 1;
        // Of a pair the first is the parameter's name.
        let inner = match member.value() {
            Value::Tuple(pair) | Value::List(pair) => pair.last().map(|state| member.other(*state)),
            _ => Some(member),
        };
        form.members.extend(inner.map(|inner| self::form(inner, level + 1, members)));
    }
    form
}

fn with_settings(class: &str, dict: Ref<'_>) -> Form {
    let entries =
        dict.entries().into_iter().flatten().take(MOST_KEYS).filter_map(|(key, value)| Some((key.text()?, value)));
    let settings = entries
        .filter(|(key, _)| !["schedulers", "lr_scheduler", "save_history"].contains(key))
        .map(|(key, value)| (key.to_owned(), setting(value)));
    Form { class: class.to_owned(), settings: settings.collect(), members: Vec::new() }
}

/// Returns the number of events so far: of a concatenation, the durations of the members that ended, and the count of the
/// one that runs.
fn at(form: &Form, level: usize) -> Option<f64> {
    if level > MOST_LEVELS {
        return None;
    }
    match form.class.as_str() {
        "ignite.ConcatScheduler" => {
            let index = form.number("_scheduler_index")? as usize;
            let before: f64 = form.setting("durations")?.numbers()?.get(..index)?.iter().sum();
            Some(before + at(form.members.get(index)?, level + 1)?)
        }
        "ignite.ParamGroupScheduler" => at(form.members.first()?, level + 1),
        _ => form.number("event_index"),
    }
}

/// Tells cosine cycles from linear ones, whose states are alike, by the rate of the last update.
fn settle_cycles(form: &mut Form, last: Option<f64>, level: usize) {
    if level > MOST_LEVELS {
        return;
    }
    if form.class == "ignite.CyclicalScheduler" {
        let class = last.and_then(|last| cycle_class(form, last));
        form.class = class.map_or_else(|| form.class.clone(), str::to_owned);
    }
    let running = form.number("_scheduler_index").map(|index| index as usize);
    for (index, member) in form.members.iter_mut().enumerate() {
        // The rate in the file is that of the member that runs.
        let last = last.filter(|_| running.is_none_or(|running| running == index));
        settle_cycles(member, last, level + 1);
    }
}

fn cycle_class(form: &Form, last: f64) -> Option<&'static str> {
    let number = |key: &str| form.number(key);
    let (start, end, size) = (number("start_value")?, number("end_value")?, number("cycle_size")?);
    let progress = (number("event_index")? - 1.0) / size;
    let cosine = start + (end - start) / 2.0 * (1.0 - (PI * progress).cos());
    let linear = end + (start - end) * (progress - 0.5).abs() * 2.0;
    let is = |rate: f64| (rate - last).abs() <= ROUNDING * last.abs();
    match (is(cosine), is(linear)) {
        (true, false) => Some("ignite.CosineAnnealingScheduler"),
        (false, true) => Some("ignite.LinearCyclicalScheduler"),
        _ => None,
    }
}

fn unknown(form: &Form, level: usize) -> Option<&str> {
    if form.class == "unknown" || form.class == "ignite.CyclicalScheduler" {
        return Some(&form.class);
    }
    form.members.iter().filter(|_| level <= MOST_LEVELS).find_map(|member| unknown(member, level + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::peer::Setting;

    fn cycle(last: f64) -> Option<&'static str> {
        let number = |key: &str, value: f64| (key.to_owned(), Setting::Number(value));
        let settings = vec![
            number("start_value", 0.01),
            number("end_value", 0.0001),
            number("cycle_size", 26.0),
            number("event_index", 7.0),
        ];
        cycle_class(&Form { class: String::new(), settings, members: Vec::new() }, last)
    }

    #[test]
    fn a_cosine_cycle_and_a_linear_one_are_told_by_the_rate() {
        assert_eq!(cycle(0.008755128203446951), Some("ignite.CosineAnnealingScheduler"));
        assert_eq!(cycle(0.01 - 0.0099 * 6.0 / 13.0), Some("ignite.LinearCyclicalScheduler"));
        assert_eq!(cycle(0.005), None);
    }
}
