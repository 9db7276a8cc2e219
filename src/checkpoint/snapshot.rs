//! The state to be saved, collected in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::error::CheckpointError;
use super::manifest::FileEntry;
use super::owned::Layout;
use super::{document, name, tensors};
use crate::state::{BegunCopies, State, StateError, Stateful};

/// The bytes that other processes have lent, in the order of their tensors.
type Lent = Arc<Vec<Vec<u8>>>;

/// The state of a run after a number of updates, ready to be saved.
///
/// It owns its data: training can continue while a snapshot is written.
#[derive(Clone, Debug)]
pub struct Snapshot {
    step: u64,
    fields: BTreeMap<String, Value>,
    parts: Vec<(String, State)>,
    /// States of an earlier snapshot, whose memory is reused.
    spare: Vec<(String, State)>,
    /// Whether tensors may be left on their way from a device.
    is_begun: bool,
    /// The tensors of a part that are on their way from a device.
    begun: Vec<(String, BegunCopies)>,
    /// Parts of whose tensors this process has some: where all are, and the bytes that others have lent.
    owned: Vec<(String, Arc<Layout>, Lent)>,
}

impl Snapshot {
    /// Creates an empty snapshot of the state after `step` updates.
    pub fn at(step: u64) -> Self {
        Self {
            step,
            fields: BTreeMap::new(),
            parts: Vec::new(),
            spare: Vec::new(),
            is_begun: false,
            begun: Vec::new(),
            owned: Vec::new(),
        }
    }

    /// Like [`Snapshot::at`], but reuses the memory of parts with the same names in an earlier snapshot.
    pub fn again_at(step: u64, earlier: Self) -> Self {
        Self { spare: earlier.parts, ..Self::at(step) }
    }

    /// The same, but the values of tensors on a device are only copied there, and come to host memory when
    /// [`Snapshot::finish_copies`] is called.
    pub(super) fn begun(self) -> Self {
        Self { is_begun: true, ..self }
    }

    /// Waits for the tensors that are on their way from a device.
    pub(super) fn finish_copies(&mut self) -> Result<(), CheckpointError> {
        for (part, begun) in std::mem::take(&mut self.begun) {
            let state = self.parts.iter_mut().find(|(name, _)| *name == part);
            let finished = state.map_or(Ok(()), |(_, state)| begun.finish(state));
            finished.map_err(|error| CheckpointError::Unsaved { part, error })?;
        }
        Ok(())
    }

    /// Returns the step of the snapshot.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Adds an entry to the top of `state.json`, such as epoch, seed or configuration.
    ///
    /// # Errors
    /// The name is not one lower-case word, or is taken.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Result<Self, CheckpointError> {
        name::check("field", name)?;
        let taken = self.parts.iter().map(|(part, _)| part).find(|part| name::root(part) == name);
        if let Some(first) = taken.or(self.fields.get_key_value(name).map(|(field, _)| field)) {
            return Err(CheckpointError::NameClash { first: first.clone(), second: name.to_owned() });
        }
        self.fields.insert(name.to_owned(), value.into());
        Ok(self)
    }

    /// Adds the state of `part`, under `name`.
    ///
    /// # Errors
    /// The part cannot be saved, or as [`Snapshot::state`].
    pub fn part(mut self, name: &str, part: &(impl Stateful + ?Sized)) -> Result<Self, CheckpointError> {
        let earlier = self.spare.iter().position(|(spare, _)| spare == name);
        let mut state = earlier.map(|index| self.spare.swap_remove(index).1).unwrap_or_default();
        let mut begun = BegunCopies::default();
        let saved = if self.is_begun { part.begin_save(&mut state, &mut begun) } else { part.save_into(&mut state) };
        saved.map_err(|error| CheckpointError::Unsaved { part: name.to_owned(), error })?;
        let mut snapshot = self.state(name, state)?;
        if !begun.is_empty() {
            snapshot.begun.push((name.to_owned(), begun));
        }
        Ok(snapshot)
    }

    /// Adds the state of a part that has already been saved.
    ///
    /// Its JSON goes to `state.json` under `name`, where dots nest (`"schedulers.lr"` is `lr` within `schedulers`),
    /// and its tensors to `<name>.safetensors`.
    ///
    /// # Errors
    /// The name is not lower-case words joined by dots, or its place in `state.json` is taken.
    pub fn state(mut self, name: &str, state: State) -> Result<Self, CheckpointError> {
        name::check("part", name)?;
        let taken = self.parts.iter().map(|(part, _)| part).find(|part| name::parts_clash(part, name));
        if let Some(first) = taken.or(self.fields.keys().find(|field| *field == name::root(name))) {
            return Err(CheckpointError::NameClash { first: first.clone(), second: name.to_owned() });
        }
        self.parts.push((name.to_owned(), state));
        Ok(self)
    }

    /// Says that other processes have the other tensors of `part`, and what they have `lent`.
    pub(crate) fn owned(mut self, part: &str, layout: Arc<Layout>, lent: Lent) -> Self {
        self.owned.push((part.to_owned(), layout, lent));
        self
    }

    /// Returns the states by the names of their parts, in the order in which they were added. In a snapshot of a
    /// [`Saver`](super::Saver) that is not saved yet, tensors on a GPU are left out.
    pub fn states(&self) -> impl Iterator<Item = (&str, &State)> {
        self.parts.iter().map(|(name, state)| (name.as_str(), state))
    }

    /// Refuses a part with NaN or infinity.
    ///
    /// # Errors
    /// The first such tensor.
    pub fn require_finite(&self, part: &str) -> Result<(), CheckpointError> {
        let states = self.states().filter(|(name, _)| *name == part);
        let mut tensors = states.flat_map(|(_, state)| &state.tensors);
        match tensors.find(|(_, tensor)| !tensor.is_finite()) {
            Some((name, _)) => Err(CheckpointError::NotFinite { part: part.to_owned(), tensor: name.clone() }),
            None => Ok(()),
        }
    }

    /// Returns the size in bytes of its files, without the manifest.
    ///
    /// # Errors
    /// The snapshot cannot be encoded.
    pub fn bytes(&self) -> Result<u64, CheckpointError> {
        Ok(self.files()?.iter().map(Encoded::bytes).sum())
    }

    /// Returns every file except the manifest, by name.
    pub(super) fn files(&self) -> Result<Vec<Encoded<'_>>, CheckpointError> {
        if let Some((part, _)) = self.begun.first() {
            let on_the_way = "its tensors are on their way from a device; save the snapshot with `Saver::begin`";
            let error = StateError::Unable(on_the_way.to_owned());
            return Err(CheckpointError::Unsaved { part: part.clone(), error });
        }
        let state = document::encode(self.step, &self.fields, &self.parts)?;
        let mut files = vec![Encoded::of(name::STATE.to_owned(), vec![Cow::Owned(state)])];
        for (part, state) in &self.parts {
            let name = name::tensor_file(part);
            match self.owned.iter().find(|(owned, ..)| owned == part) {
                Some((_, layout, lent)) => {
                    let (contents, writers) = (layout.contents(&state.tensors, lent), Some(layout.writers()));
                    files.push(Encoded { name, contents, writers });
                }
                None if state.tensors.is_empty() => {}
                None => files.push(Encoded::of(name, tensors::encode(part, &state.tensors)?)),
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

/// An encoded file: its name and its content as chunks, borrowed from the snapshot where large.
pub(super) struct Encoded<'a> {
    pub(super) name: String,
    pub(super) contents: Vec<Content<'a>>,
    /// The process that writes each piece, if the processes have different tensors of the file.
    pub(super) writers: Option<Vec<usize>>,
}

/// Bytes of a file.
pub(super) enum Content<'a> {
    /// Those that this process has.
    Here(Cow<'a, [u8]>),
    /// So many that another one has.
    Elsewhere(u64),
}

impl Content<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64,
            Self::Elsewhere(bytes) => *bytes,
        }
    }

    /// Returns the bytes.
    ///
    /// # Errors
    /// Another process has them, and there are some.
    pub(super) fn bytes(&self) -> io::Result<&[u8]> {
        match self {
            Self::Here(bytes) => Ok(bytes),
            Self::Elsewhere(0) => Ok(&[]),
            Self::Elsewhere(bytes) => Err(io::Error::other(format!("another process has {bytes} of its bytes"))),
        }
    }
}

impl<'a> Encoded<'a> {
    /// A file that every process has.
    pub(super) fn of(name: String, pieces: Vec<Cow<'a, [u8]>>) -> Self {
        Self { name, contents: pieces.into_iter().map(Content::Here).collect(), writers: None }
    }

    /// Returns its size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.contents.iter().map(Content::len).sum()
    }

    /// Returns all bytes, in their order.
    ///
    /// # Errors
    /// Another process has some of them.
    pub(super) fn pieces(&self) -> io::Result<Vec<&[u8]>> {
        self.contents.iter().map(Content::bytes).collect()
    }

    /// Returns the manifest's entry of the file.
    ///
    /// # Errors
    /// Another process has some of its bytes.
    pub(super) fn entry(&self) -> io::Result<FileEntry> {
        let mut hasher = blake3::Hasher::new();
        for piece in self.pieces()? {
            hasher.update(piece);
        }
        Ok(FileEntry { name: self.name.clone(), bytes: hasher.count(), blake3: hasher.finalize().to_string() })
    }
}
