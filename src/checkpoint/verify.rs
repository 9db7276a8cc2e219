//! Verifying many checkpoints side by side, and what lies in one that is no part of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::error::CheckpointError;
use super::manifest::Manifest;
use super::read::Checkpoint;
use super::source::Source;
use crate::threads;

/// Verifies the checkpoints in the directories `paths`, at most `threads` of them at a time, and tells `each` what was
/// found: in the order of `paths`, as soon as all before it are known. Memory grows with `threads`, not with what is
/// verified.
pub fn verify_all(paths: &[PathBuf], threads: usize, mut each: impl FnMut(&Path, Result<Manifest, CheckpointError>)) {
    let next = AtomicUsize::new(0);
    let (found, results) = mpsc::channel();
    thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..threads.clamp(1, paths.len().max(1)) {
            let (next, found) = (&next, found.clone());
            let thread = threads::builder("verify").spawn_scoped(scope, move || {
                while let Some((index, path)) = take(next, paths) {
                    if found.send((index, Checkpoint::verify(path))).is_err() {
                        break;
                    }
                }
            });
            started += usize::from(thread.is_ok());
        }
        drop(found);
        if started == 0 {
            // There is no thread to be had but this one.
            return paths.iter().for_each(|path| each(path, Checkpoint::verify(path)));
        }
        let (mut waiting, mut in_order) = (BTreeMap::new(), paths.iter().enumerate().peekable());
        for (index, result) in results {
            waiting.insert(index, result);
            while let Some((result, path)) =
                in_order.peek().and_then(|&(index, path)| Some((waiting.remove(&index)?, path)))
            {
                each(path, result);
                in_order.next();
            }
        }
    });
}

/// What lies in the checkpoint at `path` that is no part of it, by its `manifest`: a file that a file manager or a
/// network file system has left, for example. Nothing reads it, so a checkpoint is none the worse for it.
///
/// # Errors
/// When its directory cannot be listed.
pub fn foreign_files(path: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>, CheckpointError> {
    Source::open(path)?.foreign(manifest)
}

/// The next path that nobody has taken.
fn take<'a>(next: &AtomicUsize, paths: &'a [PathBuf]) -> Option<(usize, &'a PathBuf)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, paths.get(index)?))
}
