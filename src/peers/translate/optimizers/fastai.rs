//! fastai's optimizers (`fastai/optimizer.py`), told by their states: decay is decoupled, SGD keeps `b = mom * b + g`, and
//! parameters with `do_wd` false do not decay.

use serde_json::json;

use super::{Hyperparameters, Optimizer, Refusal, RuleGroup, StateNames, UpdateRule, groups, unknown};
use crate::peers::peer::Parameter;

const MOMENTS: StateNames = &[("exp_avg", &["grad_avg"]), ("exp_avg_sq", &["sqr_avg"])];
const MOMENTUM: StateNames = &[("momentum_buffer", &["grad_avg"])];

/// Translates `Adam` or `SGD` of fastai.
pub(super) fn rule(optimizer: &Optimizer, base_lrs: &[Option<f64>]) -> Result<UpdateRule, Refusal> {
    if optimizer.class == "unknown" {
        return Err(unknown(optimizer, ": its states, or which parameters belong to which group, are not in the file"));
    }
    let parameters = || optimizer.groups.iter().flat_map(|group| &group.parameters);
    let has = |name: &str| parameters().any(|parameter| parameter.states.iter().any(|(state, _)| state == name));
    if optimizer.class == "unknown" {
        return Err(unknown(optimizer, ", or its groups cannot be told by the file"));
    }
    let mut rule = match (has("grad_avg"), has("sqr_avg")) {
        (true, true) => groups(optimizer, base_lrs, "adamw", MOMENTS, adam)?,
        (_, false) => groups(optimizer, base_lrs, "sgd", MOMENTUM, sgd)?,
        (false, true) => return Err(unknown(optimizer, ": fastai's RMSProp takes another root")),
    };
    let among = if rule.kind == "adamw" { "Adam (Lamb has the same states)" } else { "SGD" };
    rule.notes.push(format!(
        "the file does not name the optimizer: it is taken for fastai's {among}, with decoupled decay, the default"
    ));
    split_by_decay(&mut rule, optimizer);
    Ok(rule)
}

fn adam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    match (hyperparameters.number("mom")?, hyperparameters.number("sqr_mom")?) {
        (Some(mom), Some(sqr_mom)) => hyperparameters.put("betas", json!([mom, sqr_mom])),
        _ => hyperparameters.ask("betas", "`mom` and `sqr_mom` are not in the file"),
    }
    hyperparameters.take("eps", "eps", None)?;
    hyperparameters.take("wd", "weight_decay", Some(0.0))
}

fn sgd(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("mom", "momentum", Some(0.0))?;
    hyperparameters.put("dampening", json!(0.0));
    hyperparameters.put("nesterov", json!(false));
    hyperparameters.put("decoupled", json!("rate"));
    hyperparameters.take("wd", "weight_decay", Some(0.0))
}

fn decays(parameter: &Parameter) -> bool {
    !parameter.numbers.iter().any(|(name, value)| name == "do_wd" && *value == 0.0)
}

/// Gives the parameters that do not decay a group without decay.
fn split_by_decay(rule: &mut UpdateRule, optimizer: &Optimizer) {
    let mut split = Vec::new();
    for (mut group, peer) in std::mem::take(&mut rule.groups).into_iter().zip(&optimizer.groups) {
        let parameters = std::mem::take(&mut group.parameters);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (parameter, theirs) in parameters.into_iter().zip(&peer.parameters) {
            if decays(theirs) { with.push(parameter) } else { without.push(parameter) }
        }
        let mut plain = group.hyperparameters.clone();
        plain.insert("weight_decay".to_owned(), json!(0.0));
        if !with.is_empty() {
            split.push(RuleGroup { parameters: with, ..group.clone() });
        }
        if !without.is_empty() {
            split.push(RuleGroup { of: group.of, hyperparameters: plain, parameters: without });
        }
    }
    rule.groups = split;
}
