//! Distributed checkpoints of PyTorch: a folder of any layout, in which the states are found as in a script's file.

mod flat;

use super::survey::Survey;
use super::{Content, Found, progress, torch};
use crate::peers::error::PeerError;
use crate::peers::formats::dcp;
use crate::peers::peer::{Peer, Trainer};

/// The beginning of the data files of the first process.
const FIRST: &str = "__0_";

/// Returns whether a folder is such a checkpoint, complete or not.
pub(super) fn recognizes(found: &Found) -> bool {
    matches!(&found.content, Content::Folder(names) if dcp::is(names))
}

/// Describes the run.
///
/// # Errors
/// The folder is incomplete or damaged, or has no states of a run.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let Content::Folder(names) = &found.content else {
        return Err(PeerError::unknown(&found.path, "this is no folder"));
    };
    let mut tree = dcp::read(&found.path)?;
    flat::nest(&mut tree).map_err(|what| PeerError::damaged(&found.path, what))?;
    let mut peer = Peer::new(&found.path, Trainer::Dcp, "folder of torch.distributed.checkpoint");
    torch::fill(&mut peer, Survey::of(tree.root(), &[]))?;
    if peer.model.tensors.is_empty() && peer.optimizers.is_empty() {
        return Err(PeerError::unknown(&found.path, "the folder has neither weights by name nor an optimizer"));
    }
    // Several processes share out what all of them have, and the order of names is lost with that.
    peer.model.in_order &= names.iter().all(|name| !name.ends_with(".distcp") || name.starts_with(FIRST));
    name_parameters(&mut peer);
    progress::settle(&mut peer);
    if peer.model.tensors.is_empty() {
        peer.missing.push("the weights: the folder has an optimizer and no model".to_owned());
    }
    if peer.optimizers.is_empty() {
        peer.missing.push("the optimizer: the folder has weights alone".to_owned());
    }
    peer.missing.extend(
        [
            "clipping of gradients: whether the run clips is in no state",
            "the place in the data: it is there only where the script saved it",
        ]
        .map(str::to_owned),
    );
    Ok(peer)
}

/// With `get_state_dict` the ids of an optimizer are names of weights.
fn name_parameters(peer: &mut Peer) {
    let names: std::collections::HashSet<&str> = peer.model.tensors.iter().map(|named| named.name.as_str()).collect();
    let groups = peer.optimizers.iter_mut().flat_map(|optimizer| &mut optimizer.groups);
    for parameter in groups.flat_map(|group| &mut group.parameters) {
        if names.contains(parameter.id.as_str()) {
            parameter.name = Some(parameter.id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::peers::peer::{RateOf, Trainer, Unit};
    use crate::peers::trainers::open;

    #[test]
    fn the_real_case_has_names_for_ids_and_its_schedule() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases");
        let peer = open(&cases.join("dcp/named_adamw_groups")).unwrap();
        assert_eq!((peer.trainer, peer.updates, peer.model.in_order), (Trainer::Dcp, Some(10), true));
        let groups = &peer.optimizers[0].groups;
        let names: Vec<Vec<_>> = groups
            .iter()
            .map(|group| group.parameters.iter().map(|parameter| parameter.name.as_deref().unwrap()).collect())
            .collect();
        assert_eq!(names, [["0.weight", "2.weight"], ["0.bias", "2.bias"]]);
        assert!(groups.iter().all(|group| group.rate_of == RateOf::Next && group.lr == Some(0.007525000000000001)));
        assert_eq!(groups[0].parameters[0].states.len(), 2);
        assert_eq!(
            (peer.schedules[0].form.class.as_str(), peer.schedules[0].unit),
            ("torch.CosineAnnealingLR", Unit::Updates)
        );
    }
}
