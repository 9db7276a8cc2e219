//! The signals of programs that tests start.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The signals that tests send.
const SENT: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Resets signals to their default. If tests run under `nohup`, or in the background of a shell without job control,
/// some are ignored, and ignored signals stay ignored in child processes.
pub fn by_default(command: &mut Command) {
    // SAFETY: between fork and exec only `signal` is called, which may be called there.
    unsafe {
        command.pre_exec(|| {
            for signal in SENT {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}
