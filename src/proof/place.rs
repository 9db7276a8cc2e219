//! The directory in which a proof works: what is where, and what of it is ours to remove.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::before;
use super::error::ProofError;

/// The directory of a proof.
pub(super) struct Place {
    out: PathBuf,
    /// The directories that were made for it, outermost first.
    made: Vec<PathBuf>,
}

impl Place {
    /// Makes the directory `out`, or takes one that is empty.
    pub fn create(out: &Path) -> Result<Self, ProofError> {
        let is_taken = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
        if is_taken {
            return Err(ProofError::NotEmpty { path: out.to_owned() });
        }
        let missing = out.ancestors().filter(|path| !path.as_os_str().is_empty() && !path.exists());
        let mut made: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        made.reverse();
        let place = Self { out: out.to_owned(), made };
        fs::create_dir_all(out).map_err(ProofError::io("make", out))?;
        // A relative path would mean another place to a command that changes its directory.
        let out = out.canonicalize().map_err(ProofError::io("find", out))?;
        let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
        let short = here.and_then(|here| out.strip_prefix(here).ok().map(Path::to_path_buf));
        Ok(Self { out: short.filter(|path| !path.as_os_str().is_empty()).unwrap_or(out), ..place })
    }

    /// The uninterrupted run.
    pub fn whole(&self) -> PathBuf {
        self.out.join("whole")
    }

    /// The run under kills.
    pub fn killed(&self) -> PathBuf {
        self.out.join("killed")
    }

    /// Where the process of a run writes what it has to say.
    pub fn said(&self, run: &Path) -> PathBuf {
        run.with_extension("txt")
    }

    /// Where a process tells what it is doing.
    pub fn progress(&self) -> PathBuf {
        self.out.join(".progress")
    }

    /// Where a copy of the run under kills is kept.
    pub fn before(&self) -> PathBuf {
        self.out.join(".before")
    }

    /// Removes what is of no use after a proof.
    pub fn tidy(&self) {
        // What stays is hidden and does no harm.
        let _ = before::remove(&self.before());
        let _ = fs::remove_file(self.progress());
    }

    /// Removes all that was made here, and nothing else.
    pub fn remove(&self) {
        self.tidy();
        for run in [self.whole(), self.killed()] {
            // A directory that holds something else stays, and so it may.
            let _ = before::remove(&run);
            let _ = fs::remove_file(self.said(&run));
        }
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folder of a run's checkpoints: `checkpoints` in it, or the run directory itself.
pub(super) fn checkpoints_of(run: &Path) -> PathBuf {
    let folder = run.join("checkpoints");
    if folder.is_dir() { folder } else { run.to_owned() }
}

/// The same lines without what they say of the directory `gone`, as far as anything else is left: it is removed, and
/// nothing can be done with it.
pub(super) fn without_place(said: &str, gone: &Path) -> String {
    let gone = gone.to_string_lossy();
    let about_the_rest = |line: &str| {
        let clauses: Vec<&str> = line.split("; ").filter(|clause| !clause.contains(&*gone)).collect();
        (!clauses.is_empty()).then(|| clauses.join("; "))
    };
    let lines: Vec<String> = said.lines().filter_map(about_the_rest).collect();
    let left = lines.join("\n");
    if lines.len() < 2 { said.to_owned() } else { left }
}

/// The last lines of a file, indented. That one is an error is said where they are told.
pub(super) fn last_lines(path: &Path) -> io::Result<String> {
    const LINES: usize = 10;
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES));
    Ok(last.map(|line| format!("\n  {}", line.strip_prefix("error: ").unwrap_or(line))).collect())
}
