//! A file of safetensors alone: weights, and nothing of a run.

use super::folder::safetensors_model;
use super::{Content, Found, OtherFormat};
use crate::peers::error::PeerError;
use crate::peers::peer::{Peer, Trainer};

/// Returns whether it is such a file.
pub(super) fn recognizes(found: &Found) -> bool {
    matches!(found.content, Content::Other(OtherFormat::Safetensors))
}

/// Describes the weights.
///
/// # Errors
/// The file is damaged.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let mut peer = Peer::new(&found.path, Trainer::Safetensors, "safetensors");
    peer.model = safetensors_model(&found.path)?;
    peer.missing.push("the optimizer, the schedule and the step: the file has weights alone".to_owned());
    Ok(peer)
}
