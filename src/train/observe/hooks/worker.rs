//! The thread that runs hooks, one after the other.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::command;
use crate::threads;

/// Maximal number of events that wait for their command.
const WAITING: usize = 100;

/// Number of failures in a row after which a hook is left out.
const FAILURES: u32 = 3;

/// Additional time for a command to be killed at the end.
const GRACE: Duration = Duration::from_secs(2);

/// A command to run.
struct Job {
    /// The key of the configuration.
    key: &'static str,
    words: Vec<String>,
    input: String,
}

enum Order {
    Run(Job),
    /// Everything before it is done: the sender is dropped.
    Tell(Sender<()>),
}

/// The other end of the thread.
pub(super) struct Worker {
    orders: Sender<Order>,
    limit: Duration,
    waiting: Arc<AtomicUsize>,
    give_up: Arc<AtomicBool>,
    /// Whether events were left out.
    overflowed: AtomicBool,
}

impl Worker {
    /// Starts the thread, which runs each command for at most `limit`.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(limit: Duration) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let (waiting, give_up) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut hooks = Running {
            limit,
            waiting: Arc::clone(&waiting),
            give_up: Arc::clone(&give_up),
            failures: HashMap::new(),
            said: HashSet::new(),
        };
        let none = |error| threads::cannot_start("that runs hooks", &error);
        threads::builder("hooks").spawn(move || hooks.obey(&received)).map_err(none)?;
        Ok(Self { orders, limit, waiting, give_up, overflowed: AtomicBool::new(false) })
    }

    /// Starts the command once those before it are done.
    pub fn start_soon(&self, key: &'static str, words: Vec<String>, input: String) {
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            if !self.overflowed.swap(true, Ordering::Relaxed) {
                tracing::warn!("hooks: {WAITING} events wait for their commands, and further ones are left out");
            }
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // It fails only if the thread has ended, which it does not.
        let _ = self.orders.send(Order::Run(Job { key, words, input }));
    }

    /// Waits for all commands, but not longer than for one, and then runs the last one.
    pub fn finish(self, last: Option<(&'static str, Vec<String>, String)>) {
        if !self.is_done_within(self.limit) {
            let left = self.waiting.load(Ordering::Relaxed);
            tracing::warn!(
                "hooks: {left} of them have not ended in {:.1} s, and are left out",
                self.limit.as_secs_f64()
            );
            self.give_up.store(true, Ordering::Relaxed);
            let is_killed = self.is_done_within(GRACE);
            self.give_up.store(false, Ordering::Relaxed);
            if !is_killed {
                return;
            }
        }
        if let Some((key, words, input)) = last {
            let _ = self.orders.send(Order::Run(Job { key, words, input }));
            self.is_done_within(self.limit + GRACE);
        }
    }

    fn is_done_within(&self, limit: Duration) -> bool {
        let (sender, done) = mpsc::channel();
        let _ = self.orders.send(Order::Tell(sender));
        // The sender is dropped, so nothing is ever received.
        !matches!(done.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

/// The thread's side.
struct Running {
    limit: Duration,
    waiting: Arc<AtomicUsize>,
    give_up: Arc<AtomicBool>,
    /// Number of failures in a row of each hook.
    failures: HashMap<&'static str, u32>,
    /// The hooks whose failure was reported.
    said: HashSet<&'static str>,
}

impl Running {
    fn obey(&mut self, orders: &Receiver<Order>) {
        for order in orders {
            match order {
                Order::Run(job) => {
                    if !self.give_up.load(Ordering::Relaxed) {
                        self.run(job);
                    }
                    // The last one of a run was not counted.
                    let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                }
                Order::Tell(done) => drop(done),
            }
        }
    }

    fn run(&mut self, Job { key, words, input }: Job) {
        if self.failures.get(key).is_some_and(|failures| *failures >= FAILURES) {
            return;
        }
        let Err(error) = command::run(&words, input, self.limit, &self.give_up) else {
            self.failures.remove(key);
            return;
        };
        let failures = self.failures.entry(key).or_default();
        *failures += 1;
        let program = words.first().map(String::as_str).unwrap_or_default();
        if *failures == FAILURES {
            tracing::warn!("hooks.{key}: `{program}` {error}; left out after {FAILURES} failures in a row");
        } else if self.said.insert(key) {
            tracing::warn!("hooks.{key}: `{program}` {error}; this does not affect the run");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sh(script: String) -> Vec<String> {
        ["sh".to_owned(), "-c".to_owned(), script].to_vec()
    }

    #[test]
    fn commands_run_in_order_and_the_end_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let ran = |word: &str| sh(format!("sleep 0.05; echo {word} >>'{}'", file.display()));
        let worker = Worker::start(Duration::from_secs(60)).unwrap();
        worker.start_soon("on_start", ran("a"), String::new());
        worker.start_soon("on_checkpoint", ran("b"), String::new());
        worker.finish(Some(("on_end", ran("c"), String::new())));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a\nb\nc\n");
    }

    #[test]
    fn the_end_does_not_wait_for_a_queue_of_slow_commands_and_still_runs_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let (worker, began) = (Worker::start(Duration::from_secs(1)).unwrap(), Instant::now());
        for _ in 0..2 * WAITING {
            worker.start_soon("on_checkpoint", sh("sleep 0.8".to_owned()), String::new());
        }
        assert!(began.elapsed() < Duration::from_secs(5), "an event waited for a command");
        worker.finish(Some(("on_end", sh(format!("echo end >'{}'", file.display())), String::new())));
        assert!(began.elapsed() < Duration::from_secs(60), "all of them were waited for");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "end\n");
    }

    #[test]
    fn a_hook_that_fails_three_times_in_a_row_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let ran = |code: u8| sh(format!("echo x >>'{}'; exit {code}", file.display()));
        let worker = Worker::start(Duration::from_secs(60)).unwrap();
        for code in [1, 1, 0, 1, 1, 1, 1, 0] {
            worker.start_soon("on_checkpoint", ran(code), String::new());
        }
        worker.finish(None);
        assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 6);
    }
}
