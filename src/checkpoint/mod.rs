//! Checkpoints: a run's state as a directory that is either complete and verified, or absent.
//!
//! This module does not depend on training: a [`Snapshot`] is a step, some JSON and the [states](crate::state::State)
//! of named [parts](crate::state::Stateful), and a [`Checkpoint`] is the same, read back.
//!
//! ```
//! use rekindle::checkpoint::{Folder, Snapshot, WrittenBy};
//! use rekindle::state::{Stateful, State, StateError};
//!
//! struct Counter(u64);
//! impl Stateful for Counter {
//!     fn save(&self) -> Result<State, StateError> {
//!         Ok(State::from_json(self.0.into()))
//!     }
//!     fn check(&self, state: &State) -> Result<(), StateError> {
//!         state.json.as_u64().map(|_| ()).ok_or_else(|| StateError::Malformed("not a count".into()))
//!     }
//!     fn load(&mut self, state: &State) -> Result<(), StateError> {
//!         self.check(state)?;
//!         self.0 = state.json.as_u64().unwrap_or_default();
//!         Ok(())
//!     }
//! }
//!
//! # let temporary = tempfile::tempdir()?;
//! # let path = temporary.path().join("checkpoints");
//! let (folder, mut counter, mut step) = (Folder::new(path), Counter(7), 100);
//! let snapshot = Snapshot::at(step).field("epoch", 3)?.part("counter", &counter)?;
//! folder.save(&snapshot, &WrittenBy::this_build("cpu"))?;
//!
//! (counter, step) = (Counter(0), 0);
//! if let Some(newest) = folder.newest()? {
//!     newest.damaged.iter().for_each(|damaged| eprintln!("skipped: {damaged}"));
//!     newest.checkpoint.restore(&mut [("counter", &mut counter)])?;
//!     step = newest.checkpoint.step();
//! }
//! assert_eq!((counter.0, step), (7, 100));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The format, version 1
//! ```text
//! step-0000000100/           the number of updates made, ten digits or more
//!   manifest.json            {"format": "rekindle.checkpoint", "version": 1, "step": 100,
//!                             "files": [{"name", "bytes", "blake3"}], "written_by": {…}, "blake3": "…"}
//!   state.json               {"step": 100, "parts": ["model", "schedulers.lr"], "epoch": 3,
//!                             "schedulers": {"lr": {…}}, …}
//!   model.safetensors        the tensors of the part `model`; a part without tensors has no such file
//! ```
//! Every file except the manifest depends only on the state, to the byte. The manifest lists each of them with its size
//! and BLAKE3, and its own last line is the BLAKE3 of every byte before `"blake3"` on that line, so that no byte of a
//! checkpoint can change unnoticed. The digests detect accidents, not forgeries.
//!
//! # Writing
//! 1. The files are written to a hidden directory beside the final one, `.step-0000000100.tmp-<process>-<n>`, and
//!    each is flushed: a rename can reach the disk before the data it makes visible.
//! 2. `manifest.json` comes last, so a directory that has one was written to the end; it is flushed as well.
//! 3. The hidden directory is flushed: the files' names are its content.
//! 4. One rename to the final name. Before it there is no checkpoint, after it a whole one.
//! 5. The folder is flushed, so that the rename outlives a power cut.
//!
//! A failure removes the hidden directory and changes no other. An existing directory of that step is kept if it holds
//! the same state; otherwise it exchanges names with the new one and is kept beside it as `step-0000000100.replaced-1`,
//! until a rule of [`Retention`] deletes it.
//!
//! Several processes may write the files together: the first one makes the hidden directory, each writes a share of the
//! bytes, and the first one goes from there. Each reports the digests of its share beside the hidden directory, in
//! `.step-0000000100.tmp-<process>-<n>.share-<rank>`.
//!
//! In an [object store](crate::store) directories cannot be renamed. There the files are uploaded to their place
//! directly, and the manifest, created last and only if absent, completes the checkpoint; until then a marker beside
//! them shows that they are ours to remove.
//!
//! # Reading
//! The checks run in this order: the manifest has a limited size, a known version and the step of the directory's name,
//! lists only plain names, and matches its seal; each listed file is a regular file (links are not followed) of the
//! right size; then each file's content, read once, matches its BLAKE3, and is parsed. Memory is limited by the size of
//! the files, and no content is returned before everything was checked. Other files in the directory are not opened;
//! [`foreign_files`] lists them.
//!
//! A checkpoint is damaged if its content is wrong. One that cannot be opened, for lack of permission or file
//! descriptors, or because a disk or a store does not answer, does not count as damaged: then [`Folder::newest`] is an
//! error.

mod contents;
mod document;
mod error;
mod files;
mod folder;
#[doc(hidden)]
pub mod fs;
pub mod keep;
mod manifest;
mod mark;
mod name;
mod objects;
mod outline;
mod owned;
mod read;
pub mod save;
mod saver;
mod shared;
mod snapshot;
mod source;
mod tensors;
mod upload;
mod verify;
mod written_by;

pub use error::{CheckpointError, Damaged};
pub use folder::{Folder, Newest};
pub use keep::Retention;
pub use manifest::{FileEntry, Manifest, VERSIONS};
pub(crate) use name::is_temporary;
pub use name::{dir_name, step_of};
pub use outline::Outline;
pub(crate) use owned::{Layout, Owned};
pub use read::Checkpoint;
pub use save::{Outcome, Saved};
pub use saver::Saver;
pub(crate) use shared::{Helper, Staging};
pub use snapshot::Snapshot;
pub use tensors::TensorOutline;
pub use verify::{foreign_files, verify_all};
pub use written_by::WrittenBy;
