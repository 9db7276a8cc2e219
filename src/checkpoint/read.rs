//! Reading a checkpoint, believing nothing: what has become a [`Checkpoint`] is whole and unchanged.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};
use rustix::io::Errno;
use serde_json::Value;

use super::document::{self, Object};
use super::error::{CheckpointError, During};
use super::manifest::{self, FileEntry, Manifest};
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
        load(path, true)
    }

    /// Checks all that [`Checkpoint::read`] checks and keeps no tensor, in memory that does not grow with them.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn verify(path: &Path) -> Result<Manifest, CheckpointError> {
        load(path, false).map(|checkpoint| checkpoint.manifest)
    }

    /// The `state.json` of the checkpoint in the directory `path`, checked itself. Of the other files only the sizes are,
    /// so this takes no longer for large ones.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub(super) fn glance(path: &Path) -> Result<Object, CheckpointError> {
        let directory = Directory::open(path)?;
        let manifest = directory.open_manifest()?;
        let state = manifest.entry(name::STATE, &directory.file(name::MANIFEST))?;
        Ok(directory.document(state)?.0)
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

fn load(path: &Path, keep: bool) -> Result<Checkpoint, CheckpointError> {
    let directory = Directory::open(path)?;
    let manifest = directory.open_manifest()?;
    let state = manifest.entry(name::STATE, &directory.file(name::MANIFEST))?;
    let (document, names) = directory.document(state)?;
    let mut parts: Vec<_> =
        names.into_iter().map(|part| (State::from_json(document::at(&document, &part)), part)).collect();
    for entry in manifest.files.iter().filter(|entry| entry.name != name::STATE) {
        let tensors = directory.checked(entry, |reader, path| tensors::read(reader, path, entry.bytes, keep))?;
        let owner = parts.iter_mut().find(|(_, part)| name::part_of(&entry.name) == Some(part));
        let (state, _) = owner.ok_or_else(|| CheckpointError::Unclaimed { path: directory.file(&entry.name) })?;
        state.tensors = tensors;
    }
    let parts = parts.into_iter().map(|(state, part)| (part, state)).collect();
    Ok(Checkpoint { path: path.to_owned(), manifest, document, parts })
}

/// The directory of a checkpoint, open: what is read comes from this one, whatever its name comes to mean meanwhile.
struct Directory {
    path: PathBuf,
    handle: OwnedFd,
    step: u64,
}

impl Directory {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        if !path.is_dir() {
            return Err(CheckpointError::NotADirectory { path: path.to_owned() });
        }
        let real = fs::canonicalize(path).during("open", path)?;
        let step = name::step_of(&real).ok_or_else(|| CheckpointError::NotNamed { path: path.to_owned() })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, &real, flags, Mode::empty()).during("open", path)?;
        Ok(Self { path: path.to_owned(), handle, step })
    }

    /// The path of one of its files.
    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens one of its files and gives its size. A link is not followed, and a pipe not waited for.
    fn open_file(&self, name: &str) -> Result<Option<(File, u64)>, CheckpointError> {
        let path = self.file(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(CheckpointError::NotAFile { path }),
            Err(error) => return Err(error).during("open", path),
        };
        let metadata = file.metadata().during("open", &path)?;
        if metadata.is_file() { Ok(Some((file, metadata.len()))) } else { Err(CheckpointError::NotAFile { path }) }
    }

    /// The manifest, once just the files that it lists are there, of the right sizes.
    fn open_manifest(&self) -> Result<Manifest, CheckpointError> {
        let manifest = self.manifest()?;
        self.check_extra(&manifest)?;
        manifest.files.iter().try_for_each(|entry| self.open_listed(entry).map(drop))?;
        Ok(manifest)
    }

    fn manifest(&self) -> Result<Manifest, CheckpointError> {
        let path = self.file(name::MANIFEST);
        let (file, bytes) =
            self.open_file(name::MANIFEST)?.ok_or_else(|| CheckpointError::NoManifest { path: path.clone() })?;
        let content = read_bounded(file, &path, bytes, manifest::LIMIT)?;
        Manifest::parse(&content, &path, self.step)
    }

    /// Refuses a directory that holds anything but the manifest and what it lists.
    fn check_extra(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        let listed = |name: &CStr| {
            let known = |known: &str| name.to_bytes() == known.as_bytes();
            [".", "..", name::MANIFEST].into_iter().any(known) || manifest.files.iter().any(|file| known(&file.name))
        };
        for entry in Dir::read_from(&self.handle).during("list", &self.path)? {
            let entry = entry.during("list", &self.path)?;
            if !listed(entry.file_name()) {
                return Err(CheckpointError::ExtraFile { path: self.file(&entry.file_name().to_string_lossy()) });
            }
        }
        Ok(())
    }

    /// Opens a file that the manifest lists, which must be as long as it says.
    fn open_listed(&self, entry: &FileEntry) -> Result<File, CheckpointError> {
        let path = self.file(&entry.name);
        match self.open_file(&entry.name)? {
            None => Err(CheckpointError::MissingFile { path }),
            Some((_, found)) if found != entry.bytes => Err(CheckpointError::Size { path, found, listed: entry.bytes }),
            Some((file, _)) => Ok(file),
        }
    }

    fn document(&self, entry: &FileEntry) -> Result<(Object, Vec<String>), CheckpointError> {
        self.checked(entry, |reader, path| {
            let content = read_bounded(reader, path, entry.bytes, document::LIMIT)?;
            document::parse(&content, path, self.step)
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
        let mut reader = Hashed::new(self.open_listed(entry)?, entry.bytes);
        let parsed = parse(&mut reader, &path);
        let found = reader.finish().during("read", &path)?;
        if found == entry.blake3 {
            parsed
        } else {
            Err(CheckpointError::Digest { path, found, listed: entry.blake3.clone() })
        }
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

/// A file that is hashed as it is read.
struct Hashed {
    file: io::Take<File>,
    hasher: blake3::Hasher,
}

impl Hashed {
    /// Bytes that are hashed while the next ones are read.
    const CHUNK: usize = 1 << 20;

    fn new(file: File, bytes: u64) -> Self {
        // A hint to read ahead; where it is not understood, nothing is lost.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        Self { file: file.take(bytes), hasher: blake3::Hasher::new() }
    }

    /// Reads what was not read, and gives the digest of all of it.
    fn finish(mut self) -> io::Result<String> {
        let mut buffer = vec![0; (16 * Self::CHUNK).min(self.file.limit() as usize)];
        while self.file.limit() > 0 {
            let length = buffer.len().min(self.file.limit() as usize);
            self.read_exact(&mut buffer[..length])?;
        }
        Ok(self.hasher.finalize().to_string())
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Self { file, hasher } = self;
        let mut earlier: &[u8] = &[];
        for chunk in buffer.chunks_mut(Self::CHUNK) {
            let (_, read) = rayon::join(|| hasher.update(earlier), || file.read_exact(chunk));
            read?;
            earlier = chunk;
        }
        hasher.update(earlier);
        Ok(())
    }
}
