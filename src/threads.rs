//! Background threads, with a fallback to inline work if the system refuses a thread.

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use crate::cpu::workers;
use crate::memory::{self, Size};

/// Starts the compute threads, `RAYON_NUM_THREADS` of them. Programs call this first: threads started later, on demand,
/// could not report a failure.
///
/// # Errors
/// The system refuses a thread.
pub fn start() -> io::Result<()> {
    let none = |error: String| io::Error::other(format!("cannot start threads to compute on: {error}; {}", remedy()));
    rayon::ThreadPoolBuilder::new().build_global().map_err(|error| none(error.to_string()))?;
    workers::start().map_err(|error| none(error.to_string()))
}

/// Remedies if the system refuses a thread. A stack takes address space.
fn remedy() -> String {
    let usual = "end other programs, raise the limit of processes, or set RAYON_NUM_THREADS=1";
    match memory::address_space_limit() {
        Some(limit) => format!("raise the limit of the address space, {} (ulimit -v); or {usual}", Size(limit)),
        None => usual.to_owned(),
    }
}

/// Creates the error for a thread that the program requires, with remedies.
pub fn cannot_start(work: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("cannot start a thread {work}: {error}; {}", remedy()))
}

/// Work in the background.
pub(crate) enum Task<T> {
    /// Running on another thread.
    Beside(JoinHandle<Option<T>>),
    /// Finished.
    Done(T),
}

impl<T: Send + 'static> Task<T> {
    /// Starts `work` on a thread; if the system refuses one, finishes it before this returns.
    pub(crate) fn begin<W: FnOnce() -> T + Send + 'static>(thread: &str, work: W) -> Self {
        Self::begin_as(thread, || (), work)
    }

    /// Like [`Task::begin`], on a thread of lower priority than the compute threads: a parallel step takes as long as
    /// its slowest part.
    pub(crate) fn begin_aside<W: FnOnce() -> T + Send + 'static>(thread: &str, work: W) -> Self {
        Self::begin_as(thread, give_way, work)
    }

    fn begin_as<W: FnOnce() -> T + Send + 'static>(thread: &str, prepare: fn(), work: W) -> Self {
        // If spawning fails the closure is dropped, so the work is sent afterwards.
        let (give, given) = mpsc::sync_channel::<W>(1);
        let run = move || {
            prepare();
            given.recv().ok().map(|work| work())
        };
        match builder(thread).spawn(run) {
            Ok(thread) => {
                drop(give.send(work));
                Self::Beside(thread)
            }
            Err(_) => Self::Done(work()),
        }
    }

    /// Whether the work has finished.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Beside(thread) => thread.is_finished(),
            Self::Done(_) => true,
        }
    }

    /// Returns the result; `None` if the thread panicked.
    pub(crate) fn wait(self) -> Option<T> {
        match self {
            Self::Beside(thread) => thread.join().ok().flatten(),
            Self::Done(result) => Some(result),
        }
    }
}

/// Lowers the priority of this thread and of threads that it starts. Only Linux has priorities per thread.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Returns the builder of a thread with this name.
pub fn builder(name: &str) -> Builder {
    let builder = Builder::new().name(name.to_owned());
    #[cfg(test)]
    let builder = if starved::is_starved() { builder.stack_size(1 << 60) } else { builder };
    builder
}

/// [`builder`] of a thread whose stack is as large as that of a program's first thread usually is, for the graphs of deep
/// models.
pub(crate) fn deep_builder(name: &str) -> Builder {
    let builder = builder(name);
    #[cfg(test)]
    if starved::is_starved() {
        return builder;
    }
    builder.stack_size(8 << 20)
}

/// For tests, a system without free threads: the requested stacks do not fit into memory.
#[cfg(test)]
pub(crate) mod starved {
    use std::cell::Cell;

    thread_local!(static STARVED: Cell<bool> = const { Cell::new(false) });

    pub(super) fn is_starved() -> bool {
        STARVED.get()
    }

    /// Runs `work`, which can start no threads meanwhile.
    pub(crate) fn without_threads<T>(work: impl FnOnce() -> T) -> T {
        STARVED.set(true);
        assert!(super::builder("one").spawn(|| ()).is_err(), "there is a thread to be had");
        let result = work();
        STARVED.set(false);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn work_is_done_on_a_thread_and_without_a_thread_inline() {
        let here = thread::current().id();
        let begin = || Task::begin("work", || thread::current().id());
        assert_ne!(begin().wait(), Some(here));
        let task = starved::without_threads(begin);
        assert!(task.is_finished());
        assert_eq!(task.wait(), Some(here));
    }

    #[test]
    fn a_thread_that_fails_is_reported() {
        assert_eq!(Task::<u8>::begin("work", || panic!("on purpose")).wait(), None);
    }
}
