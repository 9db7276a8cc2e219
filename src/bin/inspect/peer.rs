//! Other trainers' checkpoints: which paths are theirs, and their status.

use std::path::Path;

use anyhow::{Result, bail};
use rekindle::peers::report::{PeerStatus, Reading, checkpoints_in, may_be_a_peer};
use rekindle::peers::{self, Peer, PeerError};
use rekindle::shell;

use crate::Cli;

/// Opens the checkpoint of another trainer at `path`. `None` if there is a run of ours, or a folder that no trainer
/// known here writes: the message about our runs then says what is there.
///
/// # Errors
/// The checkpoint cannot be read.
pub fn open(path: &Path) -> Result<Option<Peer>> {
    if !may_be_a_peer(path) {
        return Ok(None);
    }
    match peers::open(path) {
        Ok(peer) => Ok(Some(peer)),
        Err(PeerError::Unknown { .. }) => name_those_within(path),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a folder that is no checkpoint itself, if there are checkpoints in it.
fn name_those_within(folder: &Path) -> Result<Option<Peer>> {
    let within = checkpoints_in(folder);
    if within.is_empty() {
        return Ok(None);
    }
    let list: Vec<String> = within.iter().map(|path| shell::path(path)).collect();
    bail!("{} is no checkpoint itself, but holds some: choose one of {}", folder.display(), list.join(", "))
}

/// Returns the status of another trainer's run.
pub fn show(peer: Peer, cli: &Cli) -> Result<String> {
    let reading = if cli.tensors || cli.stats { Reading::Everything } else { Reading::Headers };
    let status = PeerStatus::new(peer, reading)?;
    Ok(match (cli.json, cli.tensors) {
        (true, _) => serde_json::to_string_pretty(&status)? + "\n",
        (false, true) => format!("{status:#}"),
        (false, false) => status.to_string(),
    })
}
