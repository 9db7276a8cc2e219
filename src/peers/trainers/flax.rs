//! Flax: `flax.serialization.to_bytes` of a train state or of weights alone, one MessagePack file.

use super::{Content, Found, OtherFormat, optax};
use crate::peers::error::PeerError;
use crate::peers::formats::{map, msgpack};
use crate::peers::peer::{Peer, Trainer};
use crate::peers::tensor::Storage;

/// Returns whether it is a MessagePack file.
pub(super) fn recognizes(found: &Found) -> bool {
    matches!(found.content, Content::Other(OtherFormat::MessagePack))
}

/// Describes the run.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let path = &found.path;
    let damaged = |what: String| PeerError::damaged(path, what);
    let file = map(path)?;
    let whole = 0..file.len();
    let storage = Storage::mapped(file, whole).ok_or_else(|| damaged("it is empty".to_owned()))?;
    let tree = msgpack::read(&storage).map_err(damaged)?;
    let mut peer = Peer::new(path, Trainer::Flax, "MessagePack of Flax");
    optax::describe(tree.root(), &mut peer).map_err(|what| PeerError::unsupported(path, what))?;
    Ok(peer)
}
