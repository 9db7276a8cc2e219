//! Other trainers' checkpoints: which paths are theirs, and their status.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Result, bail};
use rekindle::figures::counted;
use rekindle::peers::report::{PeerStatus, Reading, checkpoints_in, may_be_a_peer};
use rekindle::peers::verify::{self, Verified, VerifiedFile};
use rekindle::peers::{self, Peer, PeerError};
use rekindle::report::Runs;
use rekindle::shell;
use rekindle::train::resume;
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

/// Refuses a run of this trainer, and a folder in which checkpoints are.
pub fn require(path: &Path) -> Result<()> {
    if !may_be_a_peer(path) && (resume::folder_of(path).is_ok() || Runs::in_folder(path).is_some()) {
        let path = shell::path(path);
        bail!("{path} is a run of Rekindle, or a folder of them: continue a run with `train --resume RUN`");
    }
    match path.is_dir().then(|| peers::open(path)) {
        Some(Err(PeerError::Unknown { .. })) => name_those_within(path).map(drop),
        _ => Ok(()),
    }
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

/// Compares the checksums of another trainer's checkpoint. `None` as in [`open`].
///
/// # Errors
/// The checkpoint cannot be read.
pub fn verify(path: &Path, json: bool) -> Result<Option<Answer>> {
    let Some(peer) = open(path)? else { return Ok(None) };
    let verified = verify::verify(&peer.path)?;
    let text = if json { serde_json::to_string_pretty(&as_data(&verified))? + "\n" } else { as_text(&verified) };
    Ok(Some(Answer { text, is_good: verified.is_good() }))
}

fn as_text(verified: &Verified) -> String {
    let line = |file: &VerifiedFile| {
        let path = file.path.display();
        match (file.bad.as_slice(), file.checked, file.without) {
            ([], 0, _) => format!("{path}: its format has no sums\n"),
            ([], checked, 0) => format!("{path}: ok, {}\n", counted(checked, "sum")),
            ([], checked, without) => {
                format!("{path}: ok, {}; {} without a sum\n", counted(checked, "sum"), counted(without, "part"))
            }
            (bad, ..) => bad.iter().map(|what| format!("{path}: {what}\n")).collect(),
        }
    };
    verified.files.iter().map(line).collect()
}

fn as_data(verified: &Verified) -> serde_json::Value {
    let file = |file: &VerifiedFile| json!({"path": file.path, "sums": file.checked, "without_sums": file.without, "bad": file.bad});
    json!({"files": verified.files.iter().map(file).collect::<Vec<_>>()})
}
