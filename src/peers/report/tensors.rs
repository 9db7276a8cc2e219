//! Every tensor of another trainer's run, with statistics where they are asked for.

use super::labels::Labels;
use crate::peers::peer::{Named, Peer};
use crate::peers::tensor::Tensor;
use crate::report::{TensorSummary, summarize};
use crate::state::HostTensor;

/// A tensor with its part, `model`, `averages` or `optimizer`, and its name.
pub(super) struct Placed<'a> {
    pub part: String,
    pub name: String,
    pub tensor: &'a Tensor,
}

/// Returns every tensor: weights, averages, and the states of each optimizer under the names of their parameters.
pub(super) fn all<'a>(peer: &'a Peer, labels: &Labels) -> Vec<Placed<'a>> {
    let mut found = named("model", &peer.model.tensors);
    found.extend(peer.averages.iter().flat_map(|averages| named("averages", &averages.tensors)));
    for (index, optimizer) in peer.optimizers.iter().enumerate() {
        let part = if index == 0 { "optimizer".to_owned() } else { format!("optimizer.{index}") };
        for (group, names) in optimizer.groups.iter().zip(labels.get(index).into_iter().flatten()) {
            for (parameter, name) in group.parameters.iter().zip(names) {
                let states = parameter.states.iter();
                found.extend(states.map(|(state, tensor)| Placed {
                    part: part.clone(),
                    name: format!("{name}.{state}"),
                    tensor,
                }));
            }
        }
    }
    found
}

fn named<'a>(part: &str, tensors: &'a [Named]) -> Vec<Placed<'a>> {
    let place = |named: &'a Named| Placed { part: part.to_owned(), name: named.name.clone(), tensor: &named.tensor };
    tensors.iter().map(place).collect()
}

/// Returns a summary of every tensor; the elements are read only `with_statistics`.
///
/// # Errors
/// A tensor cannot be read, which is named.
pub(super) fn summaries(peer: &Peer, labels: &Labels, with_statistics: bool) -> Result<Vec<TensorSummary>, String> {
    let one = |placed: &Placed<'_>| {
        if with_statistics {
            let named = |error| format!("tensor `{}`: {error}", placed.name);
            return Ok(summarize(&placed.part, &placed.name, &host(placed.tensor).map_err(named)?));
        }
        let bytes = placed.tensor.elements().saturating_mul(placed.tensor.dtype().bitsize()) / 8;
        Ok(TensorSummary {
            part: placed.part.clone(),
            name: placed.name.clone(),
            shape: placed.tensor.shape().to_vec(),
            dtype: format!("{:?}", placed.tensor.dtype()),
            bytes,
            mean: None,
            std: None,
            min: None,
            max: None,
            non_finite: None,
        })
    };
    all(peer, labels).iter().map(one).collect()
}

/// Returns a copy in host memory, in row-major order.
///
/// # Errors
/// As [`Tensor::to_bytes`].
pub(super) fn host(tensor: &Tensor) -> Result<HostTensor, String> {
    let bytes = tensor.to_bytes()?.into_owned();
    Ok(HostTensor { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), bytes })
}
