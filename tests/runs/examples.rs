//! The examples that plug user-defined parts into `train`'s loop: killed and run again, each produces the same bits.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{log, steps, tree};

/// An example's program, to be run in the repository. `cargo test` builds examples beside the tests' own folder.
fn command(example: &str, out: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(example);
    assert!(path.is_file(), "{} is missing; build it with `cargo build --release --examples`", path.display());
    let mut command = Command::new(path);
    command.arg(out).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// The files of a run that are the same in every run of one configuration.
fn contents(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let depends_on_the_clock = |name: &Path| {
        let name = name.file_name().unwrap().to_string_lossy().into_owned();
        ["manifest.json", "timing.jsonl", "lock"].contains(&name.as_str()) || name.starts_with('.')
    };
    tree(run).into_iter().filter(|(name, _)| !depends_on_the_clock(name)).collect()
}

/// Runs the example completely, and again while it is killed at several moments; returns the number of steps.
#[track_caller]
fn survives_kills(example: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    assert!(command(example, &whole).status().unwrap().success());
    let newest = || steps(&killed).last().copied().unwrap_or(0);
    let mut kills = 0;
    for _ in 0..4 {
        let from = newest();
        let mut child = command(example, &killed).spawn().unwrap();
        // During its work: after one more save.
        while newest() <= from && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        kills += u32::from(child.wait().unwrap().signal() == Some(9));
    }
    assert!(kills >= 2, "only {kills} of 4 kills found {example} running");
    assert!(command(example, &killed).status().unwrap().success());
    assert!(contents(&whole) == contents(&killed), "the killed run of {example} has other bits");
    log(&whole).len()
}

#[test]
fn a_component_of_your_own_is_saved_and_restored_with_the_run() {
    assert!(survives_kills("own_component") > 20);
}
