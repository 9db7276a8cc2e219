//! A peer's optimizer as one of our rules, with our names of hyperparameters and states.

use serde_json::{Map, Value as Json};

use super::{Refusal, optimizers};
use crate::peers::Peer;
use crate::peers::peer::{Group, RateOf};
use crate::peers::tensor::Tensor;

/// An optimizer in Rekindle's terms.
#[derive(Clone, Debug)]
pub struct UpdateRule {
    /// Our rule, as `kind` in a configuration.
    pub kind: &'static str,
    /// The groups. A peer's group whose parameters decay differently is two of ours.
    pub groups: Vec<RuleGroup>,
    /// Keys that the file does not hold, such as `optimizer.eps`: they are not among the hyperparameters, and the
    /// configuration has to set each.
    pub asked: Vec<Refusal>,
    /// Remarks on how it was translated.
    pub notes: Vec<String>,
}

/// Parameters that share hyperparameters.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// Index of the peer's group: of its rate in [`super::RateSchedule::base_lrs`].
    pub of: usize,
    /// All hyperparameters of the rule under our names; `lr` is the base rate.
    pub hyperparameters: Map<String, Json>,
    /// The parameters, in the peer's order.
    pub parameters: Vec<RuleParameter>,
}

/// A parameter with its state.
#[derive(Clone, Debug)]
pub struct RuleParameter {
    /// Its id in the peer's file.
    pub id: String,
    /// Its name, where the file tells it.
    pub name: Option<String>,
    /// Updates that it had, where the file tells.
    pub updates: Option<u64>,
    /// Our names of its states, with the peer's tensors in the peer's layout.
    pub states: Vec<(&'static str, Tensor)>,
    /// Whether it has no state where others have: it did not train.
    pub frozen: bool,
}

/// Translates the optimizer with this index.
///
/// # Errors
/// Rekindle has no such rule, or not with these settings; the thing is named.
pub fn optimizer(peer: &Peer, optimizer: usize) -> Result<UpdateRule, Refusal> {
    let Some(of) = peer.optimizers.get(optimizer) else {
        return Err(Refusal::ask(
            "optimizer",
            "the file has no optimizer with this index; write `[optimizer]` in the configuration",
        ));
    };
    optimizers::rule(of, &base_lrs(peer, optimizer, &of.groups))
}

/// Returns the base rate of each group, where the file has it.
fn base_lrs(peer: &Peer, optimizer: usize, groups: &[Group]) -> Vec<Option<f64>> {
    let found = super::schedule(peer, optimizer);
    let base = |group: &Group| match &found {
        // Without a schedule the rate in the file is the base; under one that is not known it is a rate on the way.
        Ok(None) => group.lr,
        _ => group.initial_lr.or(group.lr.filter(|_| group.rate_of == RateOf::Constant)),
    };
    match &found {
        Ok(Some(schedule)) => schedule.base_lrs.iter().copied().map(Some).collect(),
        _ => groups.iter().map(base).collect(),
    }
}
