//! Names of an optimizer's parameters: those in the file, or those of the registration order where it leaves no choice;
//! ids otherwise.

use crate::peers::Peer;
use crate::peers::export::order;
use crate::peers::import::order::{Candidate, Id, Ids, name};
use crate::peers::peer::{Group, Optimizer, Parameter};

/// Names of the parameters by optimizer and group.
pub(super) type Labels = Vec<Vec<Vec<String>>>;

/// Divisions of a model into groups that are looked for at most; a larger one is left to the import, which has the time.
const MOST_DIVISIONS: usize = 300_000;

/// Returns the labels of every optimizer.
pub(super) fn all(peer: &Peer) -> Labels {
    (0..peer.optimizers.len()).map(|index| labels(peer, index)).collect()
}

/// Returns a name, or an id with `#`, for each parameter of each group.
pub(super) fn labels(peer: &Peer, optimizer: usize) -> Vec<Vec<String>> {
    let Some(found) = peer.optimizers.get(optimizer) else { return Vec::new() };
    let sizes = found.groups.iter().map(|group| group.parameters.len());
    let places = sizes.fold(1usize, |product, size| product.saturating_mul(size.saturating_add(1)));
    let is_alone = peer.optimizers.len() == 1 && (found.groups.len() == 1 || places <= MOST_DIVISIONS);
    if let Some(named) = is_alone.then(|| by_order(peer, found)).flatten() {
        return named;
    }
    let label = |parameter: &Parameter| parameter.name.clone().unwrap_or_else(|| format!("#{}", parameter.id));
    found.groups.iter().map(|group| group.parameters.iter().map(label).collect()).collect()
}

/// Returns the names by the order of registration, where it is known and only one division into groups fits.
fn by_order(peer: &Peer, optimizer: &Optimizer) -> Option<Vec<Vec<String>>> {
    let weights = peer.model.tensors.iter().filter(|named| !named.buffer);
    let mut candidates: Vec<Candidate> =
        weights.map(|named| Candidate { name: named.name.clone(), shape: named.tensor.shape().to_vec() }).collect();
    if !peer.model.in_order {
        // A file sorted by name: the order is that of a known model, or not known.
        if !candidates.iter().all(|candidate| order::is_known(&candidate.name)) {
            return None;
        }
        candidates.sort_by(|a, b| order::compare(&a.name, &b.name));
    }
    let ids: Vec<Ids> = optimizer.groups.iter().map(ids).collect();
    let named = name(&ids, &candidates, peer.trainer).ok()?;
    let is_whole = named.iter().zip(&optimizer.groups).all(|(names, group)| names.len() == group.parameters.len());
    is_whole.then_some(named)
}

fn ids(group: &Group) -> Ids {
    let id = |parameter: &Parameter| {
        let of_parameter = parameter.states.iter().map(|(_, state)| state).find(|state| !state.shape().is_empty());
        Id {
            id: parameter.id.clone(),
            name: parameter.name.clone(),
            shape: of_parameter.map(|state| state.shape().to_vec()),
        }
    };
    let ids = group.parameters.iter().map(id).collect();
    Ids { ids, weight_decay: group.number("weight_decay").unwrap_or_default() }
}
