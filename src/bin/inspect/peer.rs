//! Other trainers' checkpoints: which paths are theirs, and their status.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Result, bail};
use rekindle::figures::counted;
use rekindle::peers::report::{PeerStatus, Reading, checkpoints_in, may_be_a_peer};
use rekindle::peers::sums::{self, Sums};
use rekindle::peers::{self, Peer, PeerError};
use rekindle::shell;
use serde_json::json;

use crate::{Answer, Cli};

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
        // Of a file of text, such as a configuration, the message about our runs says more.
        Err(error @ PeerError::Unknown { .. }) if path.is_file() && !is_text(path) => Err(error.into()),
        Err(PeerError::Unknown { .. }) => name_those_within(path),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file begins as text does.
pub fn is_text(path: &Path) -> bool {
    let mut first = [0; 512];
    let read = File::open(path).and_then(|mut file| file.read(&mut first)).unwrap_or_default();
    !first.iter().take(read).any(|byte| *byte == 0 || *byte >= 0xf8)
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

/// Checks the sums of another trainer's checkpoint. `None` as in [`open`].
///
/// # Errors
/// The checkpoint cannot be read, or a part of it has another sum.
pub fn verify(path: &Path, json: bool) -> Result<Option<Answer>> {
    let Some(peer) = open(path)? else { return Ok(None) };
    let sums = sums::check(&peer.path)?;
    let text = if json { serde_json::to_string_pretty(&as_data(&sums))? + "\n" } else { as_text(&sums) };
    Ok(Some(Answer::good(text)))
}

fn as_text(sums: &Sums) -> String {
    let right = sums.right.iter().map(|(path, count)| format!("{}: ok, {}\n", path.display(), counted(*count, "sum")));
    let without = sums.without.iter().map(|path| format!("{}: its format has no sums\n", path.display()));
    right.chain(without).collect()
}

fn as_data(sums: &Sums) -> serde_json::Value {
    let right: Vec<_> = sums.right.iter().map(|(path, count)| json!({"path": path, "sums": count})).collect();
    json!({"files": right, "without_sums": sums.without})
}
