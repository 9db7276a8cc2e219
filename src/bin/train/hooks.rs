//! `--hooks`: whether the commands of a configuration may be started.

use rekindle::train::{Console, Run, Sink};

/// Returns the run with its hooks, if they are allowed.
pub fn with_hooks(run: Run, allowed: bool, console: &mut Console) -> Run {
    match (run.has_hooks(), allowed) {
        (true, true) => run.with_hooks(),
        (true, false) => {
            console.message("note: the commands of [hooks] in the configuration are not started without --hooks");
            run
        }
        (false, true) => {
            console.message("note: --hooks starts nothing: the configuration has no commands in [hooks]");
            run
        }
        (false, false) => run,
    }
}
