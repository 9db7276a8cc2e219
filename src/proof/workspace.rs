//! Working directory of a kill test: its contents, and what of it may be removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ProofError;
use super::run_backup;

/// The working directory.
pub(super) struct Workspace {
    out: PathBuf,
    /// The directories that were created for it, outermost first.
    made: Vec<PathBuf>,
}

impl Workspace {
    /// Creates the directory `out`, or uses an empty one.
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
        // A command may change its directory, so the path must be absolute.
        let out = out.canonicalize().map_err(ProofError::io("find", out))?;
        let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
        let short = here.and_then(|here| out.strip_prefix(here).ok().map(Path::to_path_buf));
        Ok(Self { out: short.filter(|path| !path.as_os_str().is_empty()).unwrap_or(out), ..place })
    }

    /// Returns the path of the uninterrupted run.
    pub fn whole(&self) -> PathBuf {
        self.out.join("whole")
    }

    /// Returns the path of the run with kills.
    pub fn killed(&self) -> PathBuf {
        self.out.join("killed")
    }

    /// Returns the file for the output of a run's process.
    pub fn said(&self, run: &Path) -> PathBuf {
        run.with_extension("txt")
    }

    /// Returns the file for the progress reports of a process.
    pub fn progress(&self) -> PathBuf {
        self.out.join(".progress")
    }

    /// Returns the path of the backup of the run with kills.
    pub fn before(&self) -> PathBuf {
        self.out.join(".before")
    }

    /// Removes files that are not needed after the test.
    pub fn tidy(&self) {
        // Remaining files are hidden and do no harm.
        let _ = run_backup::remove(&self.before());
        let _ = fs::remove_file(self.progress());
    }

    /// Removes everything that was created here, and nothing else.
    pub fn remove(&self) {
        self.tidy();
        for run in [self.whole(), self.killed()] {
            // A directory with other content stays.
            let _ = run_backup::remove(&run);
            let _ = fs::remove_file(self.said(&run));
        }
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Returns the folder of a run's checkpoints: `checkpoints` in it, or the run directory itself.
pub(super) fn checkpoints_of(run: &Path) -> PathBuf {
    let folder = run.join("checkpoints");
    if folder.is_dir() { folder } else { run.to_owned() }
}

/// Removes mentions of the removed directory `gone` from the lines, as far as other text is left.
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

/// Returns the last lines of a file, indented. The caller's message says that one is an error.
pub(super) fn last_lines(path: &Path) -> io::Result<String> {
    const LINES: usize = 10;
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES));
    Ok(last.map(|line| format!("\n  {}", line.strip_prefix("error: ").unwrap_or(line))).collect())
}
