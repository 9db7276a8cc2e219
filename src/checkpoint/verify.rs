//! Verifies many checkpoints in parallel, and lists files in a checkpoint that do not belong to it.

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

/// Verifies the checkpoints in the directories `paths`, at most `threads` at a time, and passes the results to `each`:
/// in the order of `paths`, as soon as all earlier ones are known. Memory grows with `threads`, not with the size of
/// the checkpoints.
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
            // The system refuses further threads.
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

/// Lists files in the checkpoint at `path` that are not in its `manifest`, for example those of a file manager or a
/// network file system. They are never read, and do not make a checkpoint invalid.
///
/// # Errors
/// Its directory cannot be listed.
pub fn foreign_files(path: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>, CheckpointError> {
    Source::open(path)?.foreign(manifest)
}

/// Takes the next path.
fn take<'a>(next: &AtomicUsize, paths: &'a [PathBuf]) -> Option<(usize, &'a PathBuf)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, paths.get(index)?))
}
