//! Reading a checkpoint, believing nothing: what has become a [`Checkpoint`] is whole and unchanged.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::document::{self, Object};
use super::error::{CheckpointError, During};
use super::files::{self, Files, Opened};
use super::hashed::Hashed;
use super::manifest::{self, FileEntry, Manifest};
use super::outline::{Outline, TensorOutline};
use super::{name, tensors};
use crate::state::{Part, State};

/// A checkpoint that was read whole, every byte of it checked.
///
/// There is no other way to make one, so a function that takes it need not ask whether it is valid.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    manifest: Manifest,
    document: Object,
    parts: Vec<(String, State)>,
}

impl Checkpoint {
    /// Reads the checkpoint in the directory `path`, each file once: the bytes that were checked are those in use.
    ///
    /// # Errors
    /// One variant of [`CheckpointError`] for each thing that can be wrong; the first one that is found.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        load_whole(path, true)
    }

    /// Checks all that [`Checkpoint::read`] checks and keeps no tensor, in memory that does not grow with them.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn verify(path: &Path) -> Result<Manifest, CheckpointError> {
        load_whole(path, false).map(|checkpoint| checkpoint.manifest)
    }

    /// The `state.json` of the checkpoint in the directory `path`, checked itself. Of the other files only the sizes are,
    /// so this takes no longer for large ones.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub(super) fn glance(path: &Path) -> Result<Object, CheckpointError> {
        let source = Source(files::open(path)?);
        let manifest = source.checked_manifest()?;
        let state = manifest.entry(name::STATE, &source.file(name::MANIFEST))?;
        Ok(source.document(state)?.0)
    }

    /// What can be said of it without its tensors.
    pub fn outline(&self) -> Outline {
        let tensors = self.parts.iter().flat_map(|(part, state)| {
            state.tensors.iter().map(|(name, tensor)| TensorOutline {
                part: part.clone(),
                name: name.clone(),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                bytes: tensor.bytes.len() as u64,
            })
        });
        let parts = self.parts.iter().map(|(part, state)| (part.clone(), State::from_json(state.json.clone())));
        Outline {
            path: self.path.clone(),
            manifest: self.manifest.clone(),
            document: self.document.clone(),
            parts: parts.collect(),
            tensors: tensors.collect(),
        }
    }

    /// The step it was taken at: how many updates it holds, and the number of the next one.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }

    /// Its directory, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its manifest says; `written_by` tells who wrote it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// An entry at the top of `state.json`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.document.get(name)
    }

    /// All of `state.json`.
    pub fn document(&self) -> &serde_json::Map<String, Value> {
        &self.document
    }

    /// The names of its parts, in the order in which they were saved.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(name, _)| name.as_str())
    }

    /// What the part `name` remembered.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.parts.iter().find(|(part, _)| part == name).map(|(_, state)| state)
    }

    /// Gives every part of a program its share.
    ///
    /// First the names are compared and every part is asked whether it accepts; only then is any of them changed.
    ///
    /// # Errors
    /// Names the part that the checkpoint lacks, that the program lacks, or that refuses, and what it said.
    pub fn restore(&self, parts: &mut [(&str, &mut dyn Part)]) -> Result<(), CheckpointError> {
        if let Some(part) = self.parts().find(|&name| parts.iter().all(|(part, _)| *part != name)) {
            return Err(CheckpointError::UnknownPart { path: self.path.clone(), part: part.to_owned() });
        }
        self.restore_some(parts)
    }

    /// As [`Checkpoint::restore`], of some parts, for a program that has no use for the others.
    ///
    /// # Errors
    /// Names the part that the checkpoint lacks, or that refuses, and what it said.
    pub fn restore_some(&self, parts: &mut [(&str, &mut dyn Part)]) -> Result<(), CheckpointError> {
        for (name, part) in parts.iter() {
            let refused = |error| CheckpointError::Refused {
                path: self.path.clone(),
                part: (*name).to_owned(),
                error: Box::new(error),
            };
            part.check(self.share(name)?).map_err(refused)?;
        }
        for (name, part) in parts.iter_mut() {
            let failed = |error| CheckpointError::HalfRestored {
                path: self.path.clone(),
                part: (*name).to_owned(),
                error: Box::new(error),
            };
            part.load(self.share(name)?).map_err(failed)?;
        }
        Ok(())
    }

    fn share(&self, name: &str) -> Result<&State, CheckpointError> {
        let missing = || CheckpointError::MissingPart { path: self.path.clone(), part: name.to_owned() };
        self.state(name).ok_or_else(missing)
    }
}

/// Reads what a checkpoint has in JSON, whole, and of each file of tensors what `tensors` takes from it; that is given to
/// `keep` with the state of the part that it belongs to. The tensors of the outline are left out.
fn load<T>(
    path: &Path,
    tensors: impl Fn(&Source, &FileEntry) -> Result<T, CheckpointError>,
    mut keep: impl FnMut(&str, &mut State, T),
) -> Result<Outline, CheckpointError> {
    let source = Source(files::open(path)?);
    let manifest = source.checked_manifest()?;
    let (document, names) = source.document(manifest.entry(name::STATE, &source.file(name::MANIFEST))?)?;
    let mut parts: Vec<_> =
        names.into_iter().map(|part| (State::from_json(document::at(&document, &part)), part)).collect();
    for entry in manifest.files.iter().filter(|entry| entry.name != name::STATE) {
        let tensors = tensors(&source, entry)?;
        let owner = parts.iter_mut().find(|(_, part)| name::part_of(&entry.name) == Some(part));
        let (state, part) = owner.ok_or_else(|| CheckpointError::Unclaimed { path: source.file(&entry.name) })?;
        keep(part, state, tensors);
    }
    let parts = parts.into_iter().map(|(state, part)| (part, state)).collect();
    Ok(Outline { path: path.to_owned(), manifest, document, parts, tensors: Vec::new() })
}

/// As [`load`], every byte of it.
fn load_whole(path: &Path, keep: bool) -> Result<Checkpoint, CheckpointError> {
    let tensors = |source: &Source, entry: &FileEntry| {
        source.checked(entry, |reader, path| tensors::read(reader, path, entry.bytes, keep))
    };
    let Outline { path, manifest, document, parts, .. } = load(path, tensors, |_, state, found| state.tensors = found)?;
    Ok(Checkpoint { path, manifest, document, parts })
}

/// As [`load`], of tensors no more than what the headers say.
pub(super) fn load_outline(path: &Path) -> Result<Outline, CheckpointError> {
    let mut tensors = Vec::new();
    let outline = load(path, Source::header, |part, _, found| {
        tensors.extend(found.into_iter().map(|tensor| TensorOutline { part: part.to_owned(), ..tensor }));
    })?;
    // The files come in the order of their names, the tensors are to be in that of the parts.
    tensors.sort_by_key(|tensor| outline.parts.iter().position(|(part, _)| *part == tensor.part));
    Ok(Outline { tensors, ..outline })
}

/// Files of which nothing is believed that was not checked.
struct Source(Box<dyn Files>);

impl Source {
    fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// The manifest, once just the files that it lists are there, of the right sizes.
    fn checked_manifest(&self) -> Result<Manifest, CheckpointError> {
        let manifest = self.manifest()?;
        self.check_extra(&manifest)?;
        manifest.files.iter().try_for_each(|entry| {
            let found = self.0.bytes(&entry.name)?;
            self.check_size(entry, found)
        })?;
        Ok(manifest)
    }

    fn manifest(&self) -> Result<Manifest, CheckpointError> {
        let path = self.file(name::MANIFEST);
        let (file, bytes) =
            self.0.open(name::MANIFEST)?.ok_or_else(|| CheckpointError::NoManifest { path: path.clone() })?;
        let content = read_bounded(file, &path, bytes, manifest::LIMIT)?;
        Manifest::parse(&content, &path, self.0.step())
    }

    /// Refuses a checkpoint that holds anything but the manifest and what it lists.
    fn check_extra(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        let is_listed = |name: &String| name == name::MANIFEST || manifest.files.iter().any(|file| file.name == *name);
        match self.0.names()?.iter().find(|name| !is_listed(name)) {
            Some(name) => Err(CheckpointError::ExtraFile { path: self.file(name) }),
            None => Ok(()),
        }
    }

    /// A file that the manifest lists must be as long as it says.
    fn check_size(&self, entry: &FileEntry, found: Option<u64>) -> Result<(), CheckpointError> {
        let path = self.file(&entry.name);
        match found {
            None => Err(CheckpointError::MissingFile { path }),
            Some(found) if found != entry.bytes => Err(CheckpointError::Size { path, found, listed: entry.bytes }),
            Some(_) => Ok(()),
        }
    }

    fn document(&self, entry: &FileEntry) -> Result<(Object, Vec<String>), CheckpointError> {
        self.checked(entry, |reader, path| {
            let content = read_bounded(reader, path, entry.bytes, document::LIMIT)?;
            document::parse(&content, path, self.0.step())
        })
    }

    /// What `parse` makes of a listed file, which it reads once while its bytes are hashed.
    ///
    /// A wrong digest is reported before what `parse` found wrong: it is the cause, the other its consequence.
    fn checked<T>(
        &self,
        entry: &FileEntry,
        parse: impl FnOnce(&mut Hashed, &Path) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let path = self.file(&entry.name);
        let mut reader = Hashed::new(self.listed(entry, self.0.open(&entry.name)?)?, entry.bytes);
        let parsed = parse(&mut reader, &path);
        let found = reader.finish().during("read", &path)?;
        if found == entry.blake3 {
            parsed
        } else {
            Err(CheckpointError::Digest { path, found, listed: entry.blake3.clone() })
        }
    }

    /// What the header of a listed file says, of which nothing else is read.
    fn header(&self, entry: &FileEntry) -> Result<Vec<TensorOutline>, CheckpointError> {
        let file = self.listed(entry, self.0.peek(&entry.name)?)?;
        tensors::outline(&mut file.take(entry.bytes), &self.file(&entry.name), entry.bytes)
    }

    /// The content of a file that was opened because the manifest lists it.
    fn listed(&self, entry: &FileEntry, opened: Option<Opened>) -> Result<Box<dyn Read + Send>, CheckpointError> {
        self.check_size(entry, opened.as_ref().map(|(_, bytes)| *bytes))?;
        opened.map(|(file, _)| file).ok_or_else(|| CheckpointError::MissingFile { path: self.file(&entry.name) })
    }
}

fn read_bounded(reader: impl Read, path: &Path, bytes: u64, limit: u64) -> Result<Vec<u8>, CheckpointError> {
    if bytes > limit {
        return Err(CheckpointError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    let mut content = Vec::new();
    reader.take(limit).read_to_end(&mut content).during("read", path)?;
    Ok(content)
}
