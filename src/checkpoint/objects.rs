//! Checkpoints in an object store: a folder of them, and the files of a single one.
//!
//! A store has no rename that makes a directory visible at once. Its objects appear whole, so the manifest, which is
//! created last and only if absent, completes the checkpoint. During a save or a deletion there is a [`Mark`] beside
//! the checkpoint: the marked objects are ours to remove.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{CheckpointError, During};
use super::files::{Files, Opened};
use super::manifest;
use super::mark::Mark;
use super::name::{self, dir_name, is_file_of_checkpoint, mark_of, pin_of, step_of, step_of_mark};
use crate::free_name;
use crate::store::{self, Guarded, MayWrite, Object, Reader, Store};

/// A folder of checkpoints in a store.
pub(super) struct Objects {
    pub(super) store: Arc<dyn Store>,
    pub(super) folder: PathBuf,
}

/// The objects of one step in a folder.
#[derive(Default)]
struct Found {
    /// By their names within the checkpoint.
    files: BTreeMap<String, Object>,
    is_marked: bool,
}

impl Found {
    fn is_whole(&self) -> bool {
        self.files.contains_key(name::MANIFEST)
    }
}

impl Objects {
    /// Opens the folder at `path`, if that is a URL; writes need the permission of `may_write`.
    pub(super) fn at(path: &Path, may_write: &MayWrite) -> Result<Option<Self>, CheckpointError> {
        let store = store::at(path).during("open", path)?;
        let guarded = |store| Arc::new(Guarded::new(store, Arc::clone(may_write)));
        Ok(store.map(|store| Self { store: guarded(store), folder: path.to_owned() }))
    }

    /// Lists step and URL of every checkpoint, oldest first. Marked checkpoints, which are in progress, are skipped.
    /// Unmarked objects without a manifest are listed as damaged checkpoints.
    pub(super) fn list(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        let found = self
            .find()?
            .into_iter()
            .filter(|(_, found)| found.is_whole() || !(found.is_marked || found.files.is_empty()));
        Ok(found.map(|(step, _)| (step, self.path(step))).collect())
    }

    /// Removes marked objects, and returns the paths of their checkpoints.
    pub(super) fn sweep(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let marked = self.find()?.into_iter().filter(|(_, found)| found.is_marked);
        marked.map(|(step, _)| self.clear(step).map(|()| self.path(step))).collect()
    }

    /// Finishes the operation of a step's marker, by undoing it. A complete checkpoint stays, and one that was being
    /// replaced is restored.
    pub(super) fn clear(&self, step: u64) -> Result<(), CheckpointError> {
        let (path, mark_path) = (self.path(step), self.mark(step));
        let fetched = self.store.fetch(&mark_path, Mark::LIMIT).during("read", &mark_path)?;
        let mark = fetched.map_or(Mark::Unfinished, |(text, _)| Mark::parse(&text));
        let files = self.files(&path)?;
        let is_whole = files.contains_key(name::MANIFEST);
        match mark {
            Mark::Copying(number) => self.remove_all(&self.files(&name::replaced(&path, number))?)?,
            Mark::Unfinished if !is_whole => self.remove_ours(&files)?,
            Mark::Replacing(number) if !is_whole => {
                self.remove_ours(&files)?;
                let aside = self.files(&name::replaced(&path, number))?;
                self.copy_all(&aside, &path)?;
                self.remove_copy(&aside)?;
            }
            Mark::Replacing(number) => {
                let aside = name::replaced(&path, number);
                // The place still has the checkpoint to be replaced, or already the new one.
                if self.manifest(&path)? == self.manifest(&aside)? {
                    self.remove_copy(&self.files(&aside)?)?;
                }
            }
            Mark::Unfinished => {}
        }
        self.remove(&mark_path)
    }

    fn manifest(&self, path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
        let path = path.join(name::MANIFEST);
        let fetched = self.store.fetch(&path, manifest::LIMIT).during("read", path)?;
        Ok(fetched.map(|(content, _)| content))
    }

    /// Deletes the checkpoint of `step`, which stops being listed at once.
    pub(super) fn delete(&self, step: u64) -> Result<(), CheckpointError> {
        self.set_mark(step, Mark::Unfinished)?;
        self.remove_all(&self.files(&self.path(step))?)?;
        self.remove(&self.mark(step))
    }

    /// Lists the replaced copies of checkpoints: step, number and URL, in that order.
    pub(super) fn superseded(&self) -> Result<Vec<(u64, u64, PathBuf)>, CheckpointError> {
        let objects = self.store.list(&self.folder).during("list", &self.folder)?;
        let copy = |object: Object| {
            let first = object.path.strip_prefix(&self.folder).ok()?.components().next()?;
            let (step, number) = name::number_of_replaced(Path::new(first.as_os_str()))?;
            Some((step, number, name::replaced(&self.path(step), number)))
        };
        let mut found: Vec<_> = objects.into_iter().filter_map(copy).collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Deletes a copy. Meanwhile the marker says that the remaining objects of the copy are to be deleted.
    pub(super) fn delete_superseded(&self, step: u64, number: u64) -> Result<(), CheckpointError> {
        self.set_mark(step, Mark::Copying(number))?;
        self.remove_all(&self.files(&name::replaced(&self.path(step), number))?)?;
        self.remove(&self.mark(step))
    }

    pub(super) fn pin(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        if !self.files(&path)?.contains_key(name::MANIFEST) {
            return Err(CheckpointError::NotADirectory { path });
        }
        let pin = pin_of(&path);
        self.store.upload(&pin, &mut io::empty(), 0).during("write", pin)
    }

    pub(super) fn unpin(&self, step: u64) -> Result<(), CheckpointError> {
        self.remove(&pin_of(&self.path(step)))
    }

    pub(super) fn is_pinned(&self, step: u64) -> Result<bool, CheckpointError> {
        let pin = pin_of(&self.path(step));
        store::is_file(&pin).during("look for", pin)
    }

    /// Moves the objects of `step`, complete or not, to a name that is not read, and returns it.
    pub(super) fn set_aside(&self, step: u64) -> Result<PathBuf, CheckpointError> {
        let path = self.path(step);
        let files = self.files(&path)?;
        let is_taken = |path: &Path| Ok::<_, CheckpointError>(!self.files(path)?.is_empty());
        let (number, aside) = free_name::first(|number| name::replaced(&path, number), is_taken)?;
        self.set_mark(step, Mark::Copying(number))?;
        self.copy_all(&files, &aside)?;
        self.set_mark(step, Mark::Replacing(number))?;
        self.remove_all(&files)?;
        Ok(aside)
    }

    pub(super) fn set_mark(&self, step: u64, mark: Mark) -> Result<(), CheckpointError> {
        let (path, text) = (self.mark(step), mark.to_string());
        self.store.upload(&path, &mut text.as_bytes(), text.len() as u64).during("write", path)
    }

    pub(super) fn is_marked(&self, step: u64) -> Result<bool, CheckpointError> {
        let mark = self.mark(step);
        store::is_file(&mark).during("look for", mark)
    }

    pub(super) fn remove(&self, object: &Path) -> Result<(), CheckpointError> {
        self.store.remove(object).during("remove", object)
    }

    pub(super) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(dir_name(step))
    }

    pub(super) fn mark(&self, step: u64) -> PathBuf {
        mark_of(&self.path(step))
    }

    /// Returns the files below `path` by their names.
    pub(super) fn files(&self, path: &Path) -> Result<BTreeMap<String, Object>, CheckpointError> {
        files_below(&*self.store, path)
    }

    fn find(&self) -> Result<BTreeMap<u64, Found>, CheckpointError> {
        let mut all: BTreeMap<u64, Found> = BTreeMap::new();
        for object in self.store.list(&self.folder).during("list", &self.folder)? {
            let Ok(inside) = object.path.strip_prefix(&self.folder) else { continue };
            let mut names = inside.components();
            let Some(first) = names.next().map(|first| PathBuf::from(first.as_os_str())) else { continue };
            let rest = names.as_path().to_string_lossy().into_owned();
            if let Some(step) = step_of_mark(&first).filter(|_| rest.is_empty()) {
                all.entry(step).or_default().is_marked = true;
            } else if let Some(step) = step_of(&first).filter(|_| !rest.is_empty()) {
                all.entry(step).or_default().files.insert(rest, object);
            }
        }
        Ok(all)
    }

    /// Copies the manifest last.
    fn copy_all(&self, files: &BTreeMap<String, Object>, to: &Path) -> Result<(), CheckpointError> {
        for (name, object) in manifest_first(files).into_iter().rev() {
            store::copy(&self.store, object, &to.join(name)).during("copy", &object.path)?;
        }
        Ok(())
    }

    /// Removes the manifest first.
    fn remove_all(&self, files: &BTreeMap<String, Object>) -> Result<(), CheckpointError> {
        manifest_first(files).into_iter().try_for_each(|(_, object)| self.remove(&object.path))
    }

    /// Removes objects that exist completely elsewhere, the manifest last: if this is interrupted, the remains are
    /// recognized by it. Objects without a manifest cannot be told from the only copy, so they stay.
    fn remove_copy(&self, files: &BTreeMap<String, Object>) -> Result<(), CheckpointError> {
        if !files.contains_key(name::MANIFEST) {
            return Ok(());
        }
        manifest_first(files).into_iter().rev().try_for_each(|(_, object)| self.remove(&object.path))
    }

    /// Removes objects that a save can have created, and leaves the rest.
    fn remove_ours(&self, files: &BTreeMap<String, Object>) -> Result<(), CheckpointError> {
        let ours = files.iter().filter(|(name, _)| is_file_of_checkpoint(name));
        ours.map(|(_, object)| object).try_for_each(|object| self.remove(&object.path))
    }
}

fn manifest_first(files: &BTreeMap<String, Object>) -> Vec<(&String, &Object)> {
    let mut ordered: Vec<_> = files.iter().collect();
    ordered.sort_by_key(|(name, _)| *name != name::MANIFEST);
    ordered
}

fn files_below(store: &dyn Store, path: &Path) -> Result<BTreeMap<String, Object>, CheckpointError> {
    let objects = store.list(path).during("list", path)?;
    let named = objects.into_iter().filter_map(|object| {
        let name = object.path.strip_prefix(path).ok()?.to_str()?.to_owned();
        Some((name, object))
    });
    Ok(named.collect())
}

/// The files of a checkpoint in a store, as listed when it was opened.
pub(super) struct Listed {
    store: Arc<dyn Store>,
    path: PathBuf,
    step: u64,
    files: BTreeMap<String, Object>,
}

impl Listed {
    pub(super) fn open(store: Arc<dyn Store>, path: &Path) -> Result<Self, CheckpointError> {
        let files = files_below(&*store, path)?;
        if files.is_empty() {
            return Err(CheckpointError::NotADirectory { path: path.to_owned() });
        }
        let step = name::step_of_any(path).ok_or_else(|| CheckpointError::NotNamed { path: path.to_owned() })?;
        Ok(Self { store, path: path.to_owned(), step, files })
    }

    fn reader(
        &self,
        name: &str,
        reader: fn(Arc<dyn Store>, PathBuf, u64) -> Reader,
    ) -> Result<Option<Opened>, CheckpointError> {
        let open = |object: &Object| -> Box<dyn Read + Send> {
            Box::new(reader(Arc::clone(&self.store), object.path.clone(), object.bytes))
        };
        Ok(self.files.get(name).map(|object| (open(object), object.bytes)))
    }
}

impl Files for Listed {
    fn path(&self) -> &Path {
        &self.path
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        Ok(self.files.keys().cloned().collect())
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>, CheckpointError> {
        Ok(self.files.get(name).map(|object| object.bytes))
    }

    fn open(&self, name: &str) -> Result<Option<Opened>, CheckpointError> {
        self.reader(name, Reader::whole)
    }

    fn peek(&self, name: &str) -> Result<Option<Opened>, CheckpointError> {
        self.reader(name, Reader::beginning)
    }
}
