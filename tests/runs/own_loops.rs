//! The examples with loops of the program: killed and run again, each has the same bits.

use std::path::Path;

use super::examples::assert_kills_change_nothing_in;
use crate::common::{example, log};

/// Returns the last line that an example prints about the run in a directory.
fn last_line(name: &str, run: &Path) -> String {
    let output = example(name).arg(run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn an_agent_with_a_replay_buffer_is_saved_and_restored_and_learns_its_way() {
    let folder = assert_kills_change_nothing_in("replay");
    let run = folder.path().join("killed");
    assert_eq!(log(&run).len(), 400);
    assert_eq!(last_line("replay", &run), "goes right from 7 of 7 cells");
}
