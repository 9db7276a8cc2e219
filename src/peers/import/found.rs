//! Everything that a peer's checkpoint says, in our names.

use super::Import;
use super::account::Account;
use super::error::Refusal;
use super::order::{self, Candidate, Id, Ids};
use super::param_names::ParamNames;
use super::rules;
use super::updates::{self, Counts, Made};
use super::weights::{Matched, Ours};
use crate::parameters::Parameters;
use crate::peers::Peer;
use crate::peers::translate::{self, RateSchedule, RuleGroup, RuleParameter, UpdateRule};
use crate::schedule::Schedule;

/// Everything of the peer in our names.
pub(super) struct Found {
    pub matched: Matched,
    pub rules: Vec<UpdateRule>,
    /// A schedule for each optimizer, or the reason why there is none; nothing where rates are constant.
    pub schedules: Vec<Result<Option<RateSchedule>, Refusal>>,
    /// Our names of the parameters of each group, optimizer after optimizer.
    pub names: Vec<Vec<String>>,
    pub planned: rules::Planned,
}

impl Found {
    pub fn of(peer: &Peer, matched: Matched, given: &ParamNames, parameters: &Parameters) -> Result<Self, Refusal> {
        let count = peer.optimizers.len();
        if count == 0 {
            return Err(Refusal::cannot(
                "optimizer",
                "the checkpoint has weights alone; a new run begins from them with `train.initial_weights`",
            ));
        }
        let rules: Vec<UpdateRule> =
            (0..count).map(|index| translate::optimizer(peer, index)).collect::<Result<_, _>>()?;
        let schedules: Vec<_> = (0..count).map(|index| translate::schedule(peer, index)).collect();
        let names = order::name(&ids(peer, &rules, &matched, given), &candidates(peer, &matched), peer.trainer)?;
        let all: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
        let planned = rules::plan(&rules, &names, &all);
        Ok(Self { matched, rules, schedules, names, planned })
    }

    /// Settles the number of updates made; an epoch of the data here has `steps_per_epoch`.
    pub fn made(&self, peer: &Peer, steps_per_epoch: u64, import: &Import<'_>) -> Result<Made, Refusal> {
        let known: Vec<Option<RateSchedule>> =
            self.schedules.iter().map(|found| found.clone().ok().flatten()).collect();
        let (given, is_scheduled) = (import.updates, import.decides("schedule"));
        updates::settle(&self.rules, &Counts { peer, schedules: &known, steps_per_epoch, given, is_scheduled })
    }

    /// Returns the schedule that the checkpoint says; `None` if its rates are constant.
    pub fn schedule(&self) -> Result<Option<Schedule>, Refusal> {
        let all: Vec<Option<&Schedule>> = (self.schedules.iter())
            .map(|found| found.as_ref().map(|found| found.as_ref().map(|found| &found.schedule)))
            .collect::<Result<_, _>>()
            .map_err(Clone::clone)?;
        if all.iter().all(Option::is_none) {
            return Ok(None);
        }
        if let [Some(only)] = all[..] {
            return Ok(Some(only.clone()));
        }
        let of_group = |source: &Option<usize>| {
            let found = source.and_then(|optimizer| all.get(optimizer).copied().flatten());
            found.cloned().unwrap_or_else(|| Schedule::constant().into())
        };
        let of_groups: Vec<Schedule> = self.planned.sources.iter().map(of_group).collect();
        Ok(Some(Schedule::per_group(of_groups).into()))
    }

    /// Returns the schedule of momentum that the checkpoint says.
    pub fn momentum(&self) -> Option<Schedule> {
        self.schedules.iter().filter_map(|found| found.as_ref().ok()?.as_ref()?.momentum.clone()).next()
    }

    /// Says how things were found.
    pub fn describe(&self, peer: &Peer, account: &mut Account) {
        account.taken.push(format!("{} tensors of the model", self.matched.matches.len()));
        account.translated.push(self.matched.rule.clone());
        let turned: Vec<&str> =
            self.matched.matches.iter().filter(|one| one.is_turned).map(|one| one.ours.as_str()).collect();
        if !turned.is_empty() {
            account.translated.push(format!("the dimensions of {} are turned", turned.join(", ")));
        }
        for (further, name) in &peer.model.tied {
            account.translated.push(format!("`{further}` is the same tensor as `{name}`"));
        }
        if !self.matched.left.is_empty() {
            account.left.push(format!("tensors {}", self.matched.left.join(", ")));
        }
        if !self.planned.frozen.is_empty() {
            account.translated.push(format!("{} do not train there, and are frozen", self.planned.frozen.join(", ")));
        }
        let is_plain = |group: &RuleGroup| group.parameters.iter().all(|one| one.states.is_empty());
        if self.planned.frozen.is_empty() && self.rules.iter().any(|rule| rule.groups.iter().all(is_plain)) {
            account.missing.push(
                "frozen parameters: the optimizer keeps no state, so one that did not train there is not told from \
                 those that did; freeze it with a group of kind \"frozen\""
                    .to_owned(),
            );
        }
        if let Some(averages) = &peer.averages {
            account.left.push(format!("{} averages of weights at `{}`", averages.tensors.len(), averages.place));
        }
        account.translated.extend(self.rules.iter().flat_map(|rule| rule.notes.clone()));
        let schedules = self.schedules.iter().filter_map(|found| found.as_ref().ok()?.as_ref());
        let notes = schedules.flat_map(|schedule| schedule.notes.iter().map(|note| format!("schedule: {note}")));
        account.translated.extend(notes);
    }
}

/// Returns the tensors of a model here.
pub(super) fn ours(parameters: &Parameters, buffers: &Parameters) -> Vec<Ours> {
    let of = |tensors: &Parameters, buffer: bool| -> Vec<Ours> {
        let tensors = tensors.iter();
        tensors.map(|(name, var)| Ours { name: name.to_owned(), shape: var.dims().to_vec(), buffer }).collect()
    };
    let mut all = of(parameters, false);
    all.extend(of(buffers, true));
    all
}

/// Returns the parameters that ids may mean, in the order of registration, with their shapes in the file.
fn candidates(peer: &Peer, matched: &Matched) -> Vec<Candidate> {
    let parameters = matched.matches.iter().filter(|found| !found.buffer);
    let shape = |place: usize| peer.model.tensors.get(place).map(|named| named.tensor.shape().to_vec());
    parameters.filter_map(|found| Some(Candidate { name: found.ours.clone(), shape: shape(found.theirs)? })).collect()
}

/// Returns the ids of all groups, with our names where the file or a person says them.
fn ids(peer: &Peer, rules: &[UpdateRule], matched: &Matched, given: &ParamNames) -> Vec<Ids> {
    let named = |name: &String| {
        let first = peer.model.tied.iter().find(|(further, _)| further == name).map_or(name, |(_, first)| first);
        let place = peer.model.tensors.iter().position(|named| named.name == *first)?;
        matched.matches.iter().find(|found| found.theirs == place).map(|found| found.ours.clone())
    };
    let group = |group: &RuleGroup| Ids {
        ids: group
            .parameters
            .iter()
            .map(|parameter| Id {
                id: parameter.id.clone(),
                name: given.get(&parameter.id).cloned().flatten().or_else(|| parameter.name.as_ref().and_then(named)),
                shape: shape(parameter),
            })
            .collect(),
        weight_decay: group.hyperparameters.get("weight_decay").and_then(serde_json::Value::as_f64).unwrap_or(0.0),
    };
    rules.iter().flat_map(|rule| rule.groups.iter().map(group)).collect()
}

/// Returns the shape of a parameter as its states tell it. Adafactor's `row_var` is `[.., rows, 1]`, and its `col_var`
/// `[.., 1, columns]`.
fn shape(parameter: &RuleParameter) -> Option<Vec<usize>> {
    let of = |name: &str| parameter.states.iter().find(|(state, _)| *state == name).map(|(_, tensor)| tensor.shape());
    match (of("row_var"), of("col_var")) {
        (Some(rows), Some(columns)) => {
            Some(rows.iter().zip(columns).map(|(rows, columns)| *rows.max(columns)).collect())
        }
        _ => parameter.states.first().map(|(_, tensor)| tensor.shape().to_vec()),
    }
}
