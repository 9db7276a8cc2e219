//! The examples with user-defined parts in `train`'s loop: killed and run again, each has the same bits.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::common::training::Training;
use crate::common::{assert_same_bits, example, log, steps};

/// Runs a program whole, and again while it is killed at several moments; `command` has it train in a directory. Gives
/// a folder in which `whole` is the run.
#[track_caller]
pub fn assert_kills_change_nothing(command: impl Fn(&Path) -> Command) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let spawn = |out: &Path| Training::spawn(&mut command(out), folder.path());
    spawn(&whole).ended().well();
    let newest = || steps(&killed).last().copied();
    let mut kills = 0;
    for kill in 0..5 {
        let (from, mut training) = (newest(), spawn(&killed));
        // In the midst of its work: after one more save, and a little later each time.
        while newest() <= from && training.is_running() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(2 * kill));
        kills += u32::from(training.kill());
    }
    assert!(kills >= 2, "only {kills} of 5 kills found the program running");
    spawn(&killed).ended().well();
    assert_same_bits(&whole, &killed);
    folder
}

/// The same of an example that takes a directory.
#[track_caller]
pub fn assert_kills_change_nothing_in(name: &str) -> tempfile::TempDir {
    assert_kills_change_nothing(|out| {
        let mut command = example(name);
        command.arg(out);
        command
    })
}

#[test]
fn a_component_of_your_own_is_saved_and_restored_with_the_run() {
    let folder = assert_kills_change_nothing_in("own_component");
    assert!(log(&folder.path().join("whole")).len() > 20);
}
