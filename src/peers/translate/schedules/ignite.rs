//! ignite's own schedulers (ignite 0.5, `handlers/param_scheduler.py`), told by the keys of their states.
//!
//! Their values are rates, not factors, and a state counts the events at which it set a rate. A state does not name its
//! class: a cosine and a straight line have the same keys, so that the file's rate has to decide between them.

use super::settings::Settings;
use super::{Shape, Source, for_groups, torch};
use crate::peers::peer::{Form, Setting};
use crate::peers::translate::Refusal;
use crate::schedule::kinds::Interpolate;
use crate::schedule::{Point, Schedule};

/// The deepest nesting that is read.
const DEEPEST: usize = 16;

/// The curves that a cycle may have.
#[derive(Clone, Copy)]
enum Curve {
    Cosine,
    Triangle,
    Falling,
}

/// Translates the scheduler; one reading for each curve that its cycles may have.
pub(super) fn shapes(name: &str, source: &Source<'_>) -> Result<Vec<Shape>, Refusal> {
    let form = &source.schedule.form;
    if let ("LRScheduler", Some(member)) = (name, form.members.first()) {
        return Ok(vec![of_torch(form, member, source)?]);
    }
    let curves = [Curve::Cosine, Curve::Triangle, Curve::Falling];
    let readings = if has_cycles(form) { curves.len() } else { 1 };
    curves.iter().take(readings).map(|curve| shape(form, source, *curve)).collect()
}

/// Ignite's `LRScheduler` sets the rate by the counter of PyTorch's scheduler and raises that afterwards, so the first
/// rate is used twice. Only `ExponentialLR` multiplies at a counter of 0 as well (ignite 0.5, `param_scheduler.py`, with
/// torch 2.15).
fn of_torch(form: &Form, member: &Form, source: &Source<'_>) -> Result<Shape, Refusal> {
    let at = form.number("event_index");
    if member.number("last_epoch") != at {
        let reason =
            "its counter is not that of the events, as with `use_legacy`; write `schedule` in the configuration";
        return Err(Refusal::ask("ignite.LRScheduler", reason));
    }
    let name = member.class.strip_prefix("torch.").unwrap_or(&member.class);
    let plain = torch::plain(name, Settings::of(member), source)?;
    let schedule = if name == "ExponentialLR" { plain } else { Schedule::late(1, plain).into() };
    let mut shape = Shape { at, ..Shape::new(schedule, source.base_lrs()?) };
    shape.notes.push(
        "LRScheduler is taken to be stepped after each update (ITERATION_COMPLETED), as ignite's documentation does; it \
         begins with the first rate twice"
            .to_owned(),
    );
    Ok(shape)
}

fn has_cycles(form: &Form) -> bool {
    form.setting("cycle_size").is_some() || form.members.iter().any(has_cycles)
}

fn shape(form: &Form, source: &Source<'_>, curve: Curve) -> Result<Shape, Refusal> {
    let bases: Vec<f64> = (0..source.groups.len()).map(|group| highest(form, group)).collect();
    let each = bases.iter().enumerate().map(|(group, base)| stage(form, group, *base, curve, 0));
    let mut shape = Shape::new(for_groups(each.collect::<Result<_, _>>()?), bases);
    shape.at = Some(events(form)?);
    shape.notes.push("ignite's values are rates; the base rate is the highest of them".to_owned());
    shape.notes.push(
        "it is taken to set the rate before each update (ITERATION_STARTED), as ignite's documentation does".to_owned(),
    );
    Ok(shape)
}

/// Returns whether a form is about `group`.
fn is_of(form: &Form, group: usize) -> bool {
    form.number("param_group_index").is_none_or(|index| index == group as f64)
}

/// Returns the highest rate that a form has for a group: the base rate.
fn highest(form: &Form, group: usize) -> f64 {
    let cycle = form.number("cycle").unwrap_or_default();
    let start =
        form.number("start_value").map(|start| start / form.number("start_value_mult").unwrap_or(1.0).powf(cycle));
    let values = form.setting("values").and_then(Setting::numbers).unwrap_or_default();
    let own = values.into_iter().chain(start).chain(form.number("end_value"));
    let members = form.members.iter().filter(|member| is_of(member, group)).map(|member| highest(member, group));
    own.chain(members).fold(0.0, f64::max)
}

/// Returns the schedule of one group.
fn stage(form: &Form, group: usize, base: f64, curve: Curve, depth: usize) -> Result<Schedule, Refusal> {
    let settings = Settings::of(form);
    if depth == DEEPEST {
        return Err(Refusal::cannot(&form.class, format!("more than {DEEPEST} schedulers are in one another")));
    }
    let moves = settings.word_or("param_name", "lr")?;
    if moves != "lr" {
        return Err(
            settings.refuse("param_name", format!("it moves `{moves}`, and only schedules of `lr` are translated"))
        );
    }
    let inner = |member: &Form| stage(member, group, base, curve, depth + 1);
    if settings.has("durations") {
        let mut end = 0u64;
        let ends = settings.numbers("durations")?.into_iter().map(|duration| {
            end = end.saturating_add(settings.whole("durations", duration)?);
            Ok(end)
        });
        let milestones = ends.collect::<Result<Vec<u64>, Refusal>>()?;
        let members = form.members.iter().map(inner).collect::<Result<Vec<Schedule>, _>>()?;
        return Ok(Schedule::sequential(milestones, members).into());
    }
    if !form.members.is_empty() {
        let member = form.members.iter().find(|member| is_of(member, group));
        return member
            .map(inner)
            .unwrap_or_else(|| Err(Refusal::cannot(&form.class, format!("it has no schedule for group {group}"))));
    }
    if settings.has("milestones") {
        return piecewise(settings, base);
    }
    if settings.has("cycle_size") {
        return cycles(settings, base, curve);
    }
    Err(Refusal::ask("schedule", format!("`{}` is not translated; write `schedule` in the configuration", form.class)))
}

fn piecewise(settings: Settings<'_>, base: f64) -> Result<Schedule, Refusal> {
    let (times, values) = (settings.lengths("milestones")?, settings.numbers("values")?);
    if times.len() != values.len() {
        let reason = format!("there are {} for {} values", times.len(), values.len());
        return Err(settings.refuse("milestones", reason));
    }
    let share = |value: f64| if base > 0.0 { value / base } else { 0.0 };
    let points: Vec<Point> = times.into_iter().zip(values).map(|(t, value)| Point::from((t, share(value)))).collect();
    Ok(Schedule::piecewise(points).interpolate(Interpolate::Linear).into())
}

/// A cycle's length and ends are those of the present one; they follow from the first by its multipliers.
fn cycles(settings: Settings<'_>, base: f64, curve: Curve) -> Result<Schedule, Refusal> {
    for (key, plain) in [("warmup_duration", 0.0), ("end_value_mult", 1.0)] {
        if settings.number_or(key, plain)? != plain {
            return Err(settings.refuse(key, "Rekindle's cycles do not have it; write `schedule` in the configuration"));
        }
    }
    let (length, growth) = (first_length(settings)?, settings.length_or("cycle_mult", 1)?);
    let (falling, cycle) = (settings.number_or("start_value_mult", 1.0)?, settings.number_or("cycle", 0.0)?);
    let (start, end) = (settings.number("start_value")? / falling.powf(cycle), settings.number("end_value")?);
    let plain = growth == 1 && falling == 1.0;
    match told(settings.form).unwrap_or(curve) {
        Curve::Cosine if start == base && end <= start => {
            Ok(Schedule::cosine_restarts(length).t_mult(growth as f64).cycle_decay(falling).eta_min(end).into())
        }
        _ if !plain => Err(settings.refuse(
            "cycle_mult",
            "changing cycles of this curve are not translated; write `schedule` in the configuration",
        )),
        Curve::Cosine => Ok(formula(start, end, &format!("0.5 * (1 + cos(pi * ((t % {length}) / {length})))"))),
        Curve::Triangle => Ok(formula(start, end, &format!("2 * abs((t % {length}) / {length} - 0.5)"))),
        Curve::Falling => Ok(formula(start, end, &format!("1 - (t % {length}) / {length}"))),
    }
}

/// Returns the curve, where the class was told.
fn told(form: &Form) -> Option<Curve> {
    match form.class.as_str() {
        "ignite.CosineAnnealingScheduler" => Some(Curve::Cosine),
        "ignite.LinearCyclicalScheduler" => Some(Curve::Triangle),
        _ => None,
    }
}

fn formula(start: f64, end: f64, height: &str) -> Schedule {
    Schedule::expr(format!("{end} + ({start} - {end}) * ({height})")).into()
}

fn first_length(settings: Settings<'_>) -> Result<u64, Refusal> {
    let (length, growth) = (settings.length("cycle_size")?, settings.number_or("cycle_mult", 1.0)?);
    let first = length as f64 / growth.powf(settings.number_or("cycle", 0.0)?);
    settings.whole("cycle_size", first)
}

/// Returns the number of events so far.
fn events(form: &Form) -> Result<f64, Refusal> {
    let settings = Settings::of(form);
    if settings.has("durations") {
        let index = settings.length_or("_scheduler_index", 0)? as usize;
        let before: f64 = settings.numbers("durations")?.iter().take(index).sum();
        return Ok(before + form.members.get(index).map_or(Ok(0.0), events)?);
    }
    if let (Some(member), false) = (form.members.first(), settings.has("event_index")) {
        return events(member);
    }
    let events = settings.number("event_index")?;
    if !settings.has("cycle_size") {
        return Ok(events);
    }
    let (mut length, growth) = (first_length(settings)?, settings.length_or("cycle_mult", 1)?);
    let mut before = 0u64;
    for _ in 0..settings.length_or("cycle", 0)?.min(1 << 20) {
        before = before.saturating_add(length);
        length = length.saturating_mul(growth);
    }
    Ok(before as f64 + events)
}
