//! Threads, and what becomes of work where the system has none to give: it is done all the same.

use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use crate::memory::{self, Size};

/// Starts the threads that compute, as many as `RAYON_NUM_THREADS` says. A program calls this first:
/// they are started by whatever needs them else, which has no way to say that there are none.
///
/// # Errors
/// When the system gives no threads.
pub fn start() -> io::Result<()> {
    let none = |error| io::Error::other(format!("cannot start threads to compute on: {error}; {}", remedy()));
    rayon::ThreadPoolBuilder::new().build_global().map_err(none)
}

/// What helps where the system gives no thread. A stack is address space.
fn remedy() -> String {
    let usual = "end other programs, raise the limit of processes, or set RAYON_NUM_THREADS=1";
    match memory::address_space_limit() {
        Some(limit) => format!("raise the limit of the address space, {} (ulimit -v); or {usual}", Size(limit)),
        None => usual.to_owned(),
    }
}

/// The error of a thread that this program cannot do without, with what helps.
pub(crate) fn cannot_start(work: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("cannot start a thread {work}: {error}; {}", remedy()))
}

/// Work that was begun.
pub(crate) enum Task<T> {
    /// It goes on beside what else there is to do.
    Beside(JoinHandle<Option<T>>),
    /// It is done.
    Done(T),
}

impl<T: Send + 'static> Task<T> {
    /// Begins `work` on a thread, or where there is none to be had, does it before this returns.
    pub(crate) fn begin<W: FnOnce() -> T + Send + 'static>(thread: &str, work: W) -> Self {
        Self::begin_as(thread, || (), work)
    }

    /// As [`Task::begin`], on a thread that gives way to those that compute: a step whose parts run side by side takes
    /// as long as the one that is held up.
    pub(crate) fn begin_aside<W: FnOnce() -> T + Send + 'static>(thread: &str, work: W) -> Self {
        Self::begin_as(thread, give_way, work)
    }

    fn begin_as<W: FnOnce() -> T + Send + 'static>(thread: &str, prepare: fn(), work: W) -> Self {
        // A thread that does not come about drops all that it was given, so it is given the work once it is there.
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

    /// Whether it has come to its end.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Beside(thread) => thread.is_finished(),
            Self::Done(_) => true,
        }
    }

    /// What came of it; `None` where its thread has failed.
    pub(crate) fn wait(self) -> Option<T> {
        match self {
            Self::Beside(thread) => thread.join().ok().flatten(),
            Self::Done(result) => Some(result),
        }
    }
}

/// Lowers the priority of this thread, and of those that it will start. Only Linux has one for each thread.
fn give_way() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

/// What makes a thread of that name.
pub(crate) fn builder(name: &str) -> Builder {
    let builder = Builder::new().name(name.to_owned());
    #[cfg(test)]
    let builder = if starved::is_starved() { builder.stack_size(1 << 60) } else { builder };
    builder
}

/// A system without threads to give, for tests: the stacks that are asked for fit into no memory.
#[cfg(test)]
pub(crate) mod starved {
    use std::cell::Cell;

    thread_local!(static STARVED: Cell<bool> = const { Cell::new(false) });

    pub(super) fn is_starved() -> bool {
        STARVED.get()
    }

    /// Does `work`, which gets no thread meanwhile.
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
    fn work_is_done_on_a_thread_and_where_there_is_none_in_its_place() {
        let here = thread::current().id();
        let begin = || Task::begin("work", || thread::current().id());
        assert_ne!(begin().wait(), Some(here));
        let task = starved::without_threads(begin);
        assert!(task.is_finished());
        assert_eq!(task.wait(), Some(here));
    }

    #[test]
    fn a_thread_that_fails_is_told() {
        assert_eq!(Task::<u8>::begin("work", || panic!("on purpose")).wait(), None);
    }
}
