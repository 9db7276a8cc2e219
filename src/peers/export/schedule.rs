//! A schedule of ours as a scheduler of PyTorch: its `state_dict`, and the code that makes one like it.

use serde_json::{Value, json};

use super::classes::{Class, class};
use super::cycles;
use super::error::ExportError;
use super::optimizer::GroupRates;
use super::python::{Form, number, without_brackets};
use super::source::{Source, SourceGroup};
use super::unsaid;
use crate::checkpoint::Outline;
use crate::peers::write::Item;
use crate::report::run_status::scheduler;
use crate::schedule::{RunLength, Schedule, Scheduler};

/// The scheduler of an exported run.
#[derive(Debug, Default)]
pub(super) struct TorchSchedule {
    /// Its state; `None` where the rate is constant, which needs no scheduler.
    pub state: Option<Item<'static>>,
    /// The code that makes it, for the variable `optimizer`, after `functions`.
    pub code: String,
    /// Functions that the code needs.
    pub functions: String,
    /// The rates of the groups.
    pub rates: Vec<GroupRates>,
    /// Whether it is stepped after an epoch rather than after an update.
    pub per_epoch: bool,
    /// The schedule in our form, in updates or epochs.
    pub table: Value,
    /// Remarks for the person who continues with it.
    pub notes: Vec<String>,
}

/// All that is needed to place a scheduler in time.
pub(super) struct Placing<'a> {
    /// The schedule in our form, in the unit in which it counts.
    pub form: Form<'a>,
    /// The updates or epochs made.
    pub t: u64,
    /// The group of ours that each group of PyTorch is of.
    pub ours: Vec<usize>,
    /// Base rate of each group.
    pub bases: Vec<f64>,
    /// Rates of the next update.
    pub rates: Vec<f64>,
    /// Momenta of the next update, where the schedule moves them.
    pub momenta: Vec<Option<f64>>,
    /// The memory of a schedule that follows a metric.
    pub memory: &'a Value,
    /// Whether the optimizer has betas rather than a momentum.
    pub has_betas: bool,
}

/// Translates the schedule of the learning rate.
///
/// # Errors
/// PyTorch can neither say the schedule with a class nor with a short function.
pub(super) fn schedule(source: &Source<'_>, groups: &[SourceGroup<'_>]) -> Result<TorchSchedule, ExportError> {
    let outline = source.checkpoint.outline();
    let lacking = |what: &str| ExportError::Lacking {
        path: source.checkpoint.path().to_owned(),
        what: format!("its part `schedulers.lr` {what}"),
    };
    let state = source.checkpoint.state("schedulers.lr").ok_or_else(|| lacking("is missing"))?;
    let found = scheduler(&outline, "schedulers.lr").ok_or_else(|| lacking("cannot be read"))?;
    let mut table = serde_json::to_value(found.schedule().complete()).unwrap_or_default();
    let per_epoch = table["unit"] == "epoch";
    in_one_unit(&mut table, per_epoch)?;
    // A schedule of ours counts every epoch as the updates that one has now, also those before a change of the batch size.
    let unit = if per_epoch { source.run_epochs.steps_per_epoch() } else { 1 };
    let placing = Placing {
        form: Form { table: &table, total: source.total.map(|total| total as f64 / unit as f64) },
        t: source.step() / unit,
        ours: groups.iter().map(|group| group.ours).collect(),
        bases: of_groups(groups, found.base_lrs())?,
        rates: of_groups(groups, &found.rates())?,
        momenta: groups.iter().map(|group| found.momentum_at(found.t(), group.ours)).collect(),
        memory: state.json.get("memory").unwrap_or(&Value::Null),
        has_betas: super::optimizer::has_betas(groups.first().map_or(&source.kind, |group| &group.kind)),
    };
    if placing.momenta.iter().any(Option::is_some) && groups.iter().any(SourceGroup::is_beside_muon) {
        let reason = "it moves the momentum of matrices, and would move the first beta of the others in PyTorch";
        return Err(ExportError::refused(format!("the schedule {}", found.schedule()), reason));
    }
    let mut translated = placing.translate()?;
    translated.per_epoch = per_epoch;
    translated.notes.extend(other_schedules(source, &outline, groups, &mut translated.rates));
    translated.table = table;
    if per_epoch && !source.run_epochs.are_even() {
        translated.notes.push(format!(
            "the run was resumed with another batch size: its schedule counts epochs of {unit} updates from the first one \
             on, and changes the rate at other updates than at the ends of epochs"
        ));
    }
    Ok(translated)
}

/// Returns the value of each of PyTorch's groups from those of ours.
fn of_groups(groups: &[SourceGroup<'_>], values: &[f64]) -> Result<Vec<f64>, ExportError> {
    let of = |group: &SourceGroup<'_>| values.get(group.ours).copied();
    let found: Option<Vec<f64>> = groups.iter().map(of).collect();
    found.ok_or_else(|| ExportError::refused("schedulers.lr", "it has rates for fewer groups than the optimizer has"))
}

/// Makes one unit of all units in a schedule: one within a schedule that counts epochs counts them too.
fn in_one_unit(table: &mut Value, per_epoch: bool) -> Result<(), ExportError> {
    match table {
        Value::Object(entries) => {
            if !per_epoch && entries.get("unit").is_some_and(|unit| unit == "epoch") {
                let kind = entries.get("kind").and_then(Value::as_str).unwrap_or_default();
                let thing = format!("a `{kind}` that counts epochs inside a schedule that counts steps");
                return Err(ExportError::refused(thing, "a scheduler of PyTorch has one counter; count in one unit"));
            }
            if let Some(unit) = entries.get_mut("unit") {
                *unit = json!("step");
            }
            entries.values_mut().try_for_each(|value| in_one_unit(value, per_epoch))
        }
        Value::Array(items) => items.iter_mut().try_for_each(|value| in_one_unit(value, per_epoch)),
        _ => Ok(()),
    }
}

/// Puts the momenta and decays of other schedules into the groups as they are now, and returns a note for each.
fn other_schedules(
    source: &Source<'_>,
    outline: &Outline,
    groups: &[SourceGroup<'_>],
    rates: &mut [GroupRates],
) -> Vec<String> {
    let mut notes = Vec::new();
    for (part, what) in [("schedulers.momentum", "momentum"), ("schedulers.weight_decay", "weight decay")] {
        if source.checkpoint.state(part).is_none() {
            continue;
        }
        let found = scheduler(outline, part);
        if let (Some(found), "momentum") = (&found, what) {
            for (group, rates) in groups.iter().zip(rates.iter_mut()) {
                rates.momentum = found.rates().get(group.ours).copied();
            }
        }
        let schedule = found.as_ref().map(|found| format!(", {}", found.schedule())).unwrap_or_default();
        notes.push(format!(
            "the schedule of the {what}{schedule}: PyTorch has none, so it stays as it is; set it in \
             optimizer.param_groups before each update"
        ));
    }
    notes
}

impl Placing<'_> {
    fn translate(&self) -> Result<TorchSchedule, ExportError> {
        unsaid::refuse(self.form.table)?;
        let constant = self.form.kind() == "constant" && self.form.table["total"].is_null();
        if constant && self.form.number("factor") == 1.0 {
            return Ok(TorchSchedule { rates: self.group_rates(None), ..TorchSchedule::default() });
        }
        if let Some(found) = cycles::schedule(self)? {
            return Ok(found);
        }
        let rates = self.group_rates(Some(&self.bases));
        if let Some(class) = class(self.form, &self.bases)? {
            let state = Some(self.state(&class)?);
            return Ok(TorchSchedule { state, code: class.code(), rates, ..TorchSchedule::default() });
        }
        self.function(rates)
    }

    /// Returns the rates of the groups, with the base rates that PyTorch keeps in them.
    pub fn group_rates(&self, bases: Option<&[f64]>) -> Vec<GroupRates> {
        let group = |(index, (lr, momentum)): (usize, (&f64, &Option<f64>))| GroupRates {
            lr: *lr,
            initial_lr: bases.and_then(|bases| bases.get(index).copied()),
            momentum: *momentum,
            entries: Vec::new(),
        };
        self.rates.iter().zip(&self.momenta).enumerate().map(group).collect()
    }

    /// Returns the numbers of a parameter that has one for all groups of ours, or one for each.
    pub fn for_groups(&self, name: &str) -> Vec<f64> {
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        match &self.form.table[name] {
            Value::Array(each) => self.ours.iter().map(|ours| each.get(*ours).map_or(0.0, number)).collect(),
            all => vec![number(all); self.ours.len()],
        }
    }

    /// Returns the entries that every scheduler has. `last` is `None` for a member whose turn has not come.
    pub fn common(&self, last: Option<u64>, rates: &[f64]) -> Vec<(&'static str, Item<'static>)> {
        let count = |number: Option<u64>, missing| number.map_or(missing, |n| i64::try_from(n).unwrap_or(i64::MAX));
        vec![
            ("base_lrs", Item::floats(&self.bases)),
            ("last_epoch", Item::Int(count(last, -1))),
            ("_step_count", Item::Int(count(last.map(|last| last.saturating_add(1)), 1))),
            ("_is_initial", Item::Bool(false)),
            ("_get_lr_called_within_step", Item::Bool(false)),
            ("_last_lr", Item::floats(rates)),
        ]
    }

    fn state(&self, class: &Class) -> Result<Item<'static>, ExportError> {
        if class.members.is_empty() {
            let entries = class.state.clone().into_iter().chain(self.common(Some(self.t), &self.rates));
            return Ok(Item::dict(entries));
        }
        let ends = class.members.iter().skip(1).map(|(start, _)| Some(*start)).chain([None]);
        let mut members = Vec::new();
        for ((start, member), end) in class.members.iter().zip(ends) {
            // A member stops one short of the milestone where the next takes over.
            let last = match end {
                _ if self.t < *start => None,
                Some(end) if self.t >= end => Some(end - start - 1),
                _ => Some(self.t - start),
            };
            let rates = self.rates_of(&member.table, last.unwrap_or(0))?;
            members.push(Item::dict(member.state.clone().into_iter().chain(self.common(last, &rates))));
        }
        let milestones = class.members.iter().skip(1).map(|(start, _)| i64::try_from(*start).unwrap_or(i64::MAX));
        Ok(Item::dict([
            ("_milestones", Item::List(milestones.map(Item::Int).collect())),
            ("last_epoch", Item::Int(i64::try_from(self.t).unwrap_or(i64::MAX))),
            ("_last_lr", Item::floats(&self.rates)),
            ("_schedulers", Item::List(members)),
        ]))
    }

    /// Returns the rates of a schedule on its own at `t`.
    fn rates_of(&self, table: &Value, t: u64) -> Result<Vec<f64>, ExportError> {
        let unreadable = |error: String| ExportError::refused(format!("the schedule {table}"), error);
        let schedule: Schedule =
            serde_json::from_value(table.clone()).map_err(|error| unreadable(error.to_string()))?;
        let total_steps = self.form.total.map(|total| total as u64);
        let run = RunLength { total_steps, steps_per_epoch: 1 };
        let scheduler =
            Scheduler::new(schedule, self.bases.clone(), run).map_err(|error| unreadable(error.to_string()))?;
        Ok(scheduler.rates_at(t))
    }

    /// Translates into a `LambdaLR` with a function.
    fn function(&self, rates: Vec<GroupRates>) -> Result<TorchSchedule, ExportError> {
        let own = self.form.kind() == "per_group";
        let forms = if own { self.form.members() } else { vec![self.form] };
        let mut functions = String::new();
        for (index, form) in forms.iter().enumerate() {
            let name = if own { format!("rate_{index}") } else { "rate".to_owned() };
            let rate = form.expression("t", "base")?;
            functions += &format!("def {name}(t, base):\n    return {}\n", without_brackets(&rate));
        }
        let lambda = |(base, ours): (&f64, &usize)| {
            let (name, base) = (if own { format!("rate_{ours}") } else { "rate".to_owned() }, number(*base));
            if base == "0.0" { "lambda t: 1.0".to_owned() } else { format!("lambda t: {name}(t, {base}) / {base}") }
        };
        let lambdas: Vec<String> = self.bases.iter().zip(&self.ours).map(lambda).collect();
        let mut state = self.common(Some(self.t), &self.rates);
        state.push(("lr_lambdas", Item::List(vec![Item::None; self.bases.len()])));
        let note = format!(
            "PyTorch has no class for the schedule `{}`: it is a LambdaLR, whose function is not in the file",
            self.form.kind()
        );
        Ok(TorchSchedule {
            state: Some(Item::dict(state)),
            code: format!("torch.optim.lr_scheduler.LambdaLR(optimizer, [{}])", lambdas.join(", ")),
            functions,
            rates,
            notes: vec![note],
            ..TorchSchedule::default()
        })
    }
}
