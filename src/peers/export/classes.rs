//! Schedules of ours as schedulers of PyTorch, where it has a class with the same rates.

use super::error::ExportError;
use super::python::{Form, number};
use crate::peers::write::Item;

/// A scheduler of PyTorch.
#[derive(Debug)]
pub(super) struct Class {
    /// The class in `torch.optim.lr_scheduler`.
    pub name: &'static str,
    /// Its arguments after the optimizer, as code.
    pub arguments: String,
    /// The entries that only this class has in its state.
    pub state: Vec<(&'static str, Item<'static>)>,
    /// Members that follow each other, each with its start, of a `SequentialLR`.
    pub members: Vec<(u64, Class)>,
    /// The schedule of a member in our form, to compute its rates.
    pub table: serde_json::Value,
}

impl Class {
    fn new(form: Form<'_>, name: &'static str, arguments: String, state: Vec<(&'static str, Item<'static>)>) -> Self {
        Self { name, arguments, state, members: Vec::new(), table: form.table.clone() }
    }

    /// Returns the code that makes it, for the variable `optimizer`.
    pub fn code(&self) -> String {
        let name = format!("torch.optim.lr_scheduler.{}", self.name);
        if self.members.is_empty() {
            return format!("{name}(optimizer, {})", self.arguments);
        }
        let members: Vec<String> = self.members.iter().map(|(_, member)| member.code()).collect();
        let milestones: Vec<u64> = self.members.iter().skip(1).map(|(start, _)| *start).collect();
        format!("{name}(optimizer, [\n    {},\n], milestones={milestones:?})", members.join(",\n    "))
    }
}

fn int(value: u64) -> Item<'static> {
    Item::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Returns the class for a schedule that is a function of `t` and the base rate alone; `None` if there is none with the
/// same rates. `bases` are the base rates of the groups.
///
/// # Errors
/// A length of the schedule is a share of a run of unknown length.
pub(super) fn class(form: Form<'_>, bases: &[f64]) -> Result<Option<Class>, ExportError> {
    let gamma = || ("gamma", Item::Float(form.number("gamma")));
    let is_factor = |name: &str| (0.0..=1.0).contains(&form.number(name));
    Ok(Some(match form.kind() {
        "step" => {
            let size = form.length("step_size")?;
            let arguments = format!("step_size={size}, gamma={}", number(form.number("gamma")));
            Class::new(form, "StepLR", arguments, vec![("step_size", int(size)), gamma()])
        }
        "multi_step" => {
            let milestones = form.lengths("milestones")?;
            let mut counts: Vec<(i64, i64)> = Vec::new();
            for milestone in milestones.iter().map(|milestone| i64::try_from(*milestone).unwrap_or(i64::MAX)) {
                match counts.last_mut().filter(|(last, _)| *last == milestone) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((milestone, 1)),
                }
            }
            let arguments = format!("milestones={milestones:?}, gamma={}", number(form.number("gamma")));
            Class::new(form, "MultiStepLR", arguments, vec![("milestones", Item::Counter(counts)), gamma()])
        }
        "exponential" => {
            let arguments = format!("gamma={}", number(form.number("gamma")));
            Class::new(form, "ExponentialLR", arguments, vec![gamma()])
        }
        "polynomial" if form.number("eta_min") == 0.0 => {
            let (total, power) = (form.length("total")?, form.number("power"));
            let arguments = format!("total_iters={total}, power={}", number(power));
            Class::new(
                form,
                "PolynomialLR",
                arguments,
                vec![("total_iters", int(total)), ("power", Item::Float(power))],
            )
        }
        "linear" if is_factor("start_factor") && form.number("start_factor") > 0.0 && is_factor("end_factor") => {
            linear(form, form.number("start_factor"), form.number("end_factor"), form.length("total")?)
        }
        "constant" if is_factor("factor") && !form.table["total"].is_null() => {
            let (factor, total) = (form.number("factor"), form.length("total")?);
            let arguments = format!("factor={}, total_iters={total}", number(factor));
            Class::new(
                form,
                "ConstantLR",
                arguments,
                vec![("factor", Item::Float(factor)), ("total_iters", int(total))],
            )
        }
        "cosine" if form.number("k_decay") == 1.0 && falls_once(form)? => {
            let (t_max, floor) = (form.length("t_max")?, form.number("eta_min"));
            let arguments = format!("T_max={t_max}, eta_min={}", number(floor));
            Class::new(
                form,
                "CosineAnnealingLR",
                arguments,
                vec![("T_max", int(t_max)), ("eta_min", Item::Float(floor))],
            )
        }
        "warmup" => return warmup(form, bases),
        "sequential" => return sequential(form, bases),
        _ => return Ok(None),
    }))
}

/// Whether a cosine is PyTorch's, which rises again after its lowest point: because it is told to, or because the run
/// ends before.
fn falls_once(form: Form<'_>) -> Result<bool, ExportError> {
    let t_max = form.length("t_max")? as f64;
    Ok(form.table["after"] == "cycle" || form.total.is_some_and(|total| total <= t_max + 1.0))
}

fn linear(form: Form<'_>, start: f64, end: f64, total: u64) -> Class {
    let arguments = format!("start_factor={}, end_factor={}, total_iters={total}", number(start), number(end));
    let state =
        vec![("start_factor", Item::Float(start)), ("end_factor", Item::Float(end)), ("total_iters", int(total))];
    Class::new(form, "LinearLR", arguments, state)
}

/// A warm-up is a `LinearLR`, which knows factors and not rates: so all groups need one base rate, and the warm-up a
/// start above 0.
fn warmup(form: Form<'_>, bases: &[f64]) -> Result<Option<Class>, ExportError> {
    let (steps, start) = (form.length("steps")?, form.number("start_lr"));
    let then = form.inner("schedule");
    if steps == 0 {
        return class(then, bases);
    }
    let Some((first, others)) = bases.split_first() else { return Ok(None) };
    let is_factor = start > 0.0 && start <= *first && others.iter().all(|base| base == first);
    let then = Form { total: then.total.map(|total| total - steps as f64), ..then };
    let Some(then) = class(then, bases)?.filter(|class| is_factor && class.members.is_empty()) else { return Ok(None) };
    let mut rise = linear(form, start / first, 1.0, steps);
    let factor = serde_json::json!({
        "kind": "linear", "start_factor": start / first, "end_factor": 1.0, "total": steps, "unit": "step",
    });
    rise.table = factor;
    Ok(Some(Class {
        members: vec![(0, rise), (steps, then)],
        ..Class::new(form, "SequentialLR", String::new(), vec![])
    }))
}

fn sequential(form: Form<'_>, bases: &[f64]) -> Result<Option<Class>, ExportError> {
    let milestones = form.lengths("milestones")?;
    let starts: Vec<u64> = std::iter::once(0).chain(milestones).collect();
    let mut members = Vec::new();
    for (member, start) in form.members().into_iter().zip(&starts) {
        let member = Form { total: member.total.map(|total| total - *start as f64), ..member };
        match class(member, bases)? {
            Some(class) if class.members.is_empty() => members.push((*start, class)),
            _ => return Ok(None),
        }
    }
    // PyTorch has no member that is skipped.
    let is_rising = starts.iter().zip(starts.iter().skip(1)).all(|(a, b)| a < b);
    let whole = Class { members, ..Class::new(form, "SequentialLR", String::new(), vec![]) };
    Ok(is_rising.then_some(whole))
}
