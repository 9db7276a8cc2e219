//! The peer's tensors and counters as the state of a session.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::account::Account;
use super::error::{ImportError, Refusal};
use super::found::Found;
use super::layout::{to_host, turned};
use super::numbers;
use super::settled::Asked;
use super::updates::Made;
use super::weights::Match;
use crate::model::Precision;
use crate::parameters::host_dtype;
use crate::peers::Peer;
use crate::peers::translate::RuleParameter;
use crate::state::{Dtype, HostTensor};
use crate::train::{Session, Taken};

/// States that are means, sums or maxima of squares or sizes.
const SQUARES: [&str; 8] =
    ["exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg", "sum", "row_var", "col_var", "variance"];

/// States that are numbers in f64, whatever the type of the weights is.
const NUMBERS: [&str; 1] = ["eta"];

/// Brings a session at its start to the state of the peer.
///
/// # Errors
/// A tensor has another shape or dtype than the session's or numbers that none can have, or the run is shorter than its part that was made.
pub(super) fn put(
    session: Session,
    asked: &Asked<'_>,
    made: &Made,
    account: &mut Account,
) -> Result<Session, ImportError> {
    let (peer, found, path) = (asked.peer, asked.found, &asked.import.peer);
    let refused = |refusal| ImportError::refused(path, refusal);
    let weights = weights(&session, peer, found).map_err(refused)?;
    let moments = moments(&session, found).map_err(refused)?;
    account.taken.push(format!("{} tensors of the optimizer", moments.len()));
    let average = average(&session, peer, found, account).map_err(refused)?;
    let loss_scale = loss_scale(&session, peer, account);
    let memory = memory(&session, found).map_err(refused)?;
    let (step, skipped, origin) = (made.step, made.skipped, account.to_history());
    Ok(session.taking(Taken { step, skipped, weights, moments, average, memory, loss_scale, origin }, path)?)
}

fn failed(name: &str, reason: String) -> Refusal {
    Refusal::cannot(format!("tensor `{name}`"), reason)
}

fn weights(session: &Session, peer: &Peer, found: &Found) -> Result<BTreeMap<String, HostTensor>, Refusal> {
    let mut weights = BTreeMap::new();
    for Match { ours, theirs, is_turned, .. } in &found.matched.matches {
        let Some((var, named)) = session.weights().get(ours).zip(peer.model.tensors.get(*theirs)) else { continue };
        let host = turned(&named.tensor, *is_turned).and_then(|tensor| to_host(&tensor, host_dtype(var.dtype())));
        let host = host.and_then(|host| numbers::finite(host, false));
        weights.insert(ours.clone(), host.map_err(|reason| failed(&named.name, reason))?);
    }
    Ok(weights)
}

/// Returns the averages of the weights for `[ema]`, if the run has one and the file has an average of each parameter,
/// under the name of its weight. A buffer without an average keeps its value.
fn average(
    session: &Session,
    peer: &Peer,
    found: &Found,
    account: &mut Account,
) -> Result<Option<BTreeMap<String, HostTensor>>, Refusal> {
    let Some(averages) = peer.averages.as_ref().filter(|_| session.config().ema.is_some()) else { return Ok(None) };
    let mut taken = BTreeMap::new();
    for Match { ours, theirs, is_turned, buffer } in &found.matched.matches {
        let Some(weight) = peer.model.tensors.get(*theirs) else { continue };
        let Some(named) = averages.tensors.iter().find(|named| named.name == weight.name) else {
            if *buffer {
                continue;
            }
            account.missing.push(format!("the average of `{}`, so `[ema]` begins with the weights", weight.name));
            return Ok(None);
        };
        let host = turned(&named.tensor, *is_turned).and_then(|tensor| to_host(&tensor, Dtype::F32));
        let host = host.and_then(|host| numbers::finite(host, false));
        taken.insert(ours.clone(), host.map_err(|reason| failed(&named.name, reason))?);
    }
    account.left.retain(|line| !line.contains(" averages of weights at "));
    account.taken.push(format!("{} averages of weights, as those of `[ema]`", taken.len()));
    Ok(Some(taken))
}

/// Returns the state tensors of every parameter that trains.
fn moments(session: &Session, found: &Found) -> Result<BTreeMap<String, HostTensor>, Refusal> {
    let turns: HashMap<&str, bool> =
        found.matched.matches.iter().map(|one| (one.ours.as_str(), one.is_turned)).collect();
    let mut moments = BTreeMap::new();
    let groups = found.rules.iter().flat_map(|rule| &rule.groups).zip(&found.names);
    for (RuleParameter { states, frozen, .. }, name) in
        groups.flat_map(|(group, names)| group.parameters.iter().zip(names))
    {
        let Some(var) = session.parameters().get(name).filter(|_| !frozen) else { continue };
        // Half precision keeps its moments in f32.
        let dtype = if host_dtype(var.dtype()) == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
        let is_turned = turns.get(name.as_str()).copied().unwrap_or(false);
        for (state, tensor) in states {
            let (state, is_number) = (if is_turned { other_side(state) } else { *state }, NUMBERS.contains(state));
            let dtype = if is_number { Dtype::F64 } else { dtype };
            let host = turned(tensor, is_turned).and_then(|tensor| to_host(&tensor, dtype));
            let host = host.and_then(|host| numbers::finite(host, SQUARES.contains(&state)));
            let name = format!("{name}.{state}");
            let host = host.map_err(|reason| failed(&name, reason))?;
            moments.insert(name, host);
        }
    }
    Ok(moments)
}

/// Returns the name of a state in a matrix that is turned: rows of one are columns of the other.
fn other_side(state: &'static str) -> &'static str {
    match state {
        "row_var" => "col_var",
        "col_var" => "row_var",
        same => same,
    }
}

/// Returns the memory of a schedule that follows a metric.
fn memory(session: &Session, found: &Found) -> Result<Option<Value>, Refusal> {
    let memories = found.schedules.iter().filter_map(|found| found.as_ref().ok()?.as_ref()?.memory.clone());
    let mut memories: Vec<Value> = memories.collect();
    if memories.len() > 1 {
        return Err(Refusal::cannot("schedule", "two optimizers follow a metric, each with its own memory"));
    }
    Ok(memories.pop().filter(|_| session.scheduler().wants_metric()))
}

fn loss_scale(session: &Session, peer: &Peer, account: &mut Account) -> Option<Value> {
    let scale = peer.loss_scale.as_ref()?;
    if session.config().precision != Precision::F16 {
        account.left.push(format!("a loss scale of {}: `precision` is not f16", scale.scale));
        return None;
    }
    account.taken.push(format!("a loss scale of {}", scale.scale));
    let usual = (scale.growth_factor, scale.backoff_factor, scale.growth_interval) == (2.0, 0.5, 2000);
    if !usual {
        account.missing.push(format!(
            "loss scale: it grew by {} after {} updates and shrank by {}; here it doubles after 2000, and halves",
            scale.growth_factor, scale.growth_interval, scale.backoff_factor
        ));
    }
    Some(json!({"scale": scale.scale, "updates": scale.since}))
}
