//! The account of an import: what was taken, translated, left and missing. It is printed, and kept in the checkpoint.

use std::fmt;

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::wrapped::wrapped;

/// The account of an import, in sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// The checkpoint and the trainer that wrote it.
    pub origin: String,
    /// Number of the update that comes next.
    pub step: u64,
    /// Taken as it was.
    pub taken: Vec<String>,
    /// Said in another way here, with the same effect.
    pub translated: Vec<String>,
    /// In the file, and not used.
    pub left: Vec<String>,
    /// Not in the file, and what holds in its place.
    pub missing: Vec<String>,
}

impl Account {
    /// Begins the account of `peer`, with what its reader has left and missed.
    pub(super) fn of(peer: &Peer) -> Self {
        let version = peer.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        Self {
            origin: format!("{} ({}{version})", peer.path.display(), peer.trainer.name()),
            translated: peer.remarks.clone(),
            left: peer.left.clone(),
            missing: peer.missing.clone(),
            ..Self::default()
        }
    }

    /// Returns the entry of a checkpoint's history.
    pub(super) fn to_history(&self) -> Value {
        json!({
            "step": self.step,
            "imported": {
                "from": self.origin,
                "taken": self.taken,
                "translated": self.translated,
                "left": self.left,
                "missing": self.missing,
            },
        })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "imported    {}, at update {}", self.origin, self.step)?;
        let parts = [
            ("taken", &self.taken),
            ("translated", &self.translated),
            ("left", &self.left),
            ("missing", &self.missing),
        ];
        for (title, lines) in parts {
            for (index, line) in lines.iter().enumerate() {
                let line = format!("{:<11} {line}", if index == 0 { title } else { "" });
                writeln!(f, "{}", wrapped(&line, "              "))?;
            }
        }
        Ok(())
    }
}
