//! Optimizers of other libraries, one file for each arithmetic.

mod composer;
mod fastai;
mod hyperparameters;
mod keras;
mod optax;
mod torch;

use super::Refusal;
use super::optimizer::{RuleGroup, RuleParameter, UpdateRule};
use crate::peers::peer::{Dialect, Optimizer, Parameter};
use hyperparameters::Hyperparameters;

/// Translates an optimizer; `base_lrs` are the base rates of its groups, where they are known.
pub(super) fn rule(optimizer: &Optimizer, base_lrs: &[Option<f64>]) -> Result<UpdateRule, Refusal> {
    match optimizer.dialect {
        Dialect::Torch => torch::rule(optimizer, base_lrs),
        Dialect::Composer => composer::rule(optimizer, base_lrs),
        Dialect::Fastai => fastai::rule(optimizer, base_lrs),
        Dialect::Keras => keras::rule(optimizer, base_lrs),
        Dialect::Optax => optax::rule(optimizer, base_lrs),
    }
}

/// Names of states: ours, and those that a peer may have for it.
type StateNames = &'static [(&'static str, &'static [&'static str])];

/// Returns the rule with the hyperparameters of each group that `read` puts together.
fn groups(
    optimizer: &Optimizer,
    base_lrs: &[Option<f64>],
    kind: &'static str,
    states: StateNames,
    read: impl Fn(&mut Hyperparameters<'_>) -> Result<(), Refusal>,
) -> Result<UpdateRule, Refusal> {
    let any_state = optimizer.groups.iter().flat_map(|group| &group.parameters).any(has_state);
    let mut rule = UpdateRule { kind, groups: Vec::new(), asked: Vec::new(), notes: Vec::new() };
    for (index, group) in optimizer.groups.iter().enumerate() {
        let base = base_lrs.get(index).copied().flatten();
        let mut hyperparameters = Hyperparameters::new(&optimizer.class, index, group, base);
        if let Some(base) = base.filter(|base| !base.is_finite()) {
            return Err(hyperparameters.refuse("lr", format!("{base} is not a finite number")));
        }
        read(&mut hyperparameters)?;
        let parameters =
            group.parameters.iter().map(|parameter| renamed(&optimizer.class, parameter, states, any_state));
        let parameters = parameters.collect::<Result<Vec<RuleParameter>, _>>()?;
        let Hyperparameters { values, asked, notes, .. } = hyperparameters;
        for question in asked {
            if !rule.asked.iter().any(|other| other.thing == question.thing) {
                rule.asked.push(question);
            }
        }
        rule.notes.extend(notes);
        rule.groups.push(RuleGroup { of: index, hyperparameters: values, parameters });
    }
    rule.notes.dedup();
    Ok(rule)
}

fn has_state(parameter: &Parameter) -> bool {
    !parameter.states.is_empty() || parameter.updates.is_some()
}

/// Returns a parameter with its states under our names.
fn renamed(class: &str, parameter: &Parameter, names: StateNames, any_state: bool) -> Result<RuleParameter, Refusal> {
    let mut states = Vec::new();
    for (name, tensor) in &parameter.states {
        match names.iter().find(|(_, theirs)| theirs.contains(&name.as_str())) {
            Some((ours, _)) => states.push((*ours, tensor.clone())),
            None => {
                let reason =
                    format!("parameter {} has this state, and Rekindle's rule has no such thing", parameter.id);
                return Err(Refusal::cannot(format!("{class} {name}"), reason));
            }
        }
    }
    Ok(RuleParameter {
        id: parameter.id.clone(),
        name: parameter.name.clone(),
        updates: parameter.updates,
        states,
        frozen: any_state && !has_state(parameter),
    })
}

/// Returns the refusal of a class that has no rule of ours.
fn unknown(optimizer: &Optimizer, why: &str) -> Refusal {
    Refusal::cannot(format!("optimizer {}", optimizer.class), format!("Rekindle has no such rule{why}"))
}
