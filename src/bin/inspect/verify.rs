//! `inspect verify`: every byte of one checkpoint, or of all in a run.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rekindle::checkpoint::{CheckpointError, Manifest, foreign_files, verify_all};
use rekindle::train::resume;

use crate::{Answer, print};

/// What `inspect verify` takes.
#[derive(Args)]
pub struct Verify {
    /// A run directory, a folder of checkpoints, or one checkpoint
    path: PathBuf,
}

/// Checks all checkpoints, several at a time, and prints a line for each, oldest first.
pub fn verify(arguments: &Verify) -> Result<Answer> {
    let paths = resume::all_at(&arguments.path)?;
    let bar = bar(paths.iter().map(|path| size(path)).sum());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (mut is_good, mut unread, mut printed) = (true, 0, Ok(()));
    verify_all(&paths, threads, |path, found| {
        match &found {
            Err(error) if !error.is_damage() => unread += 1,
            found => is_good &= found.is_ok(),
        }
        let line = line(path, found);
        if printed.is_ok() {
            printed = bar.suspend(|| print(line.as_bytes()));
        }
        bar.inc(size(path));
    });
    bar.finish_and_clear();
    printed?;
    if let Some((log, fault)) = resume::log_fault_at(&arguments.path)? {
        is_good = false;
        print(format!("{}: BAD: {fault}; a resume puts it in order where it can\n", log.display()).as_bytes())?;
    }
    if is_good && unread > 0 {
        bail!("{unread} of {} checkpoints could not be read, so it is not known whether they are good", paths.len());
    }
    Ok(Answer { text: String::new(), is_good })
}

fn line(path: &Path, found: Result<Manifest, CheckpointError>) -> String {
    match found {
        Ok(manifest) => {
            let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
            let foreign = foreign_files(path, &manifest).unwrap_or_default();
            let beside = foreign.iter().map(|path| format!("warning: {}\n", resume::not_a_part(path)));
            let ok = format!("{}: ok, {} files, {bytes} bytes\n", path.display(), manifest.files.len());
            std::iter::once(ok).chain(beside).collect()
        }
        Err(error) if !error.is_damage() => format!("{}: NOT READ: {error}\n", path.display()),
        Err(error) => format!("{}: BAD: {error}\n", path.display()),
    }
}

/// The bytes of the files in a directory; what cannot be looked at will be told by the verification.
fn size(checkpoint: &Path) -> u64 {
    let entries = fs::read_dir(checkpoint).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// A bar over so many bytes, where stderr is a terminal.
fn bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "verifying {bar:24} {bytes}/{total_bytes} | {bytes_per_sec} | {eta_precise} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
