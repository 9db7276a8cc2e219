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

/// Lets signals do what they do by default. Where tests run under `nohup`, or in the background of a shell without job
/// control, some are ignored, and what is ignored stays ignored in programs that are started.
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
