//! Another trainer's checkpoint as one of ours, from which its run continues.
//!
//! The peer's tensors are matched with the model's, the ids of its optimizer with names, its optimizer and schedule are
//! translated and compared with what the configuration says, and all of it becomes the state of a
//! [`Session`], which is saved as any other.

mod account;
mod agreement;
mod epochs;
mod error;
mod found;
mod layers;
mod layout;
mod names;
mod numbers;
pub(super) mod order;
mod param_names;
mod proposal;
mod rates;
mod rules;
mod settled;
mod sizes;
mod state;
mod tails;
mod updates;
mod weights;
mod written;

use std::path::{Path, PathBuf};

use crate::peers::{self, PeerError};
use crate::train::{self, Session, Setting};

pub use account::Account;
pub use error::ImportError;
pub use proposal::propose;

use self::found::{Found, ours};
use self::settled::Asked;

/// Refuses a checkpoint with content of another checksum. A file beside it that cannot be checked is not judged, since
/// the reader has opened all that it needs.
fn check_sums(path: &Path) -> Result<(), PeerError> {
    let Ok(verified) = peers::verify::verify(path) else { return Ok(()) };
    let read = verified.files.iter().filter(|file| file.checked > 0 || file.path.is_dir());
    match read.flat_map(|file| file.bad.first().map(|bad| (&file.path, bad))).next() {
        Some((path, bad)) => Err(PeerError::damaged(path, bad.as_str())),
        None => Ok(()),
    }
}

/// An import: the checkpoint, and what a person says beside it.
#[derive(Clone, Debug, Default)]
pub struct Import<'a> {
    /// The peer's checkpoint, a file or a folder.
    pub peer: PathBuf,
    /// The configuration, in which `optimizer`, `schedule` and the clipping may be left out.
    pub config: PathBuf,
    /// Changes of the configuration, which decide also where it and the checkpoint differ.
    pub settings: &'a [Setting],
    /// A file of lines `peer name = our name`.
    pub param_names: Option<PathBuf>,
    /// The number of updates made, where the file has none or two.
    pub updates: Option<u64>,
}

/// A run that was taken over, ready to be saved.
pub struct Imported {
    session: Session,
    account: Account,
}

impl Imported {
    /// Returns the session, at the update after those that the peer made.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns what was taken, translated, left and missing.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Makes `run` a run directory, which `train --resume` continues, and returns its checkpoint. If that fails, nothing
    /// is left of it.
    ///
    /// # Errors
    /// The directory holds a run already, or cannot be written.
    pub fn save(&self, run: &Path) -> Result<PathBuf, ImportError> {
        Ok(train::adopt(&self.session, run)?)
    }
}

impl Import<'_> {
    /// Whether a setting decides about this key, or about something inside or around it.
    fn decides(&self, key: &str) -> bool {
        let is_inside = settled::is_inside;
        self.settings.iter().any(|setting| is_inside(key, setting.key()) || is_inside(setting.key(), key))
    }

    /// Reads the checkpoint and the data, and brings the run to the same state.
    ///
    /// # Errors
    /// The checkpoint or the configuration cannot be read, they do not fit together, or something in the checkpoint has
    /// no equal here.
    pub fn run(&self) -> Result<Imported, ImportError> {
        let mut peer = peers::open(&self.peer)?;
        check_sums(&peer.path)?;
        let given = self.param_names.as_deref().map(param_names::read).transpose()?.unwrap_or_default();
        let refused = |refusal| ImportError::refused(&self.peer, refusal);
        let draft = Session::new(settled::draft(self)?)?;
        let (parameters, steps_per_epoch) = (draft.parameters().clone(), draft.steps_per_epoch());
        let epoch = tails::Epoch::of(&draft);
        epochs::settle_units(&mut peer, steps_per_epoch, self.updates);
        let matched = weights::find(&ours(&parameters, draft.buffers()), &peer.model, &given).map_err(refused)?;
        drop(draft);
        let found = Found::of(&peer, matched, &given, &parameters).map_err(refused)?;
        let made = found.made(&peer, steps_per_epoch, self).map_err(refused)?;
        let mut account = Account::of(&peer);
        account.step = made.step;
        account.translated.extend(made.note.clone());
        found.describe(&peer, &mut account);
        let is_decided = self.decides("data.batch_size");
        if !is_decided && !self.decides("data.drop_last") {
            account.missing.extend(tails::compare(&peer, epoch).map_err(refused)?);
        }
        epochs::compare(&peer, made.step, steps_per_epoch, is_decided, &mut account).map_err(refused)?;
        let asked = Asked { import: self, peer: &peer, found: &found, parameters: &parameters };
        let config = asked.config(&mut account)?;
        let session = Session::new(config)?;
        let session = state::put(session, &asked, &made, &mut account)?;
        account.translated.extend(rates::check(&session, &asked)?);
        Ok(Imported { session, account })
    }
}
