//! The signals of programs that tests start.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets SIGINT and SIGQUIT do what they do by default. A shell without job control has programs in the background ignore
/// them, tests too, and what is ignored stays ignored in programs that these start.
pub fn by_default(command: &mut Command) {
    // SAFETY: between fork and exec only `signal` is called, which may be called there.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}
