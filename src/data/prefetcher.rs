//! Prefetches batches on other threads, if preparing one takes long enough.
//!
//! A batch is a pure function of its number, so prefetching affects only the time at which a batch is made, not its
//! content: a request for number `n` returns the function's value for `n`, even after a jump, a resume or an error.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Batch, DataError};
use crate::threads;

/// Makes a batch for its number.
pub(super) type Prepare<B> = dyn Fn(u64) -> Result<B, DataError> + Send + Sync;

/// Minimal duration of a batch for prefetching. Passing a batch between threads costs about a tenth of this.
const PREFETCH_THRESHOLD: Duration = Duration::from_micros(300);

/// Number of consecutive slow batches before threads are started: the first of all may have waited for a disk.
const SLOW_BATCHES: u32 = 3;

/// Interval at which a waiting caller checks whether to stop.
const LOOK_UP_EVERY: Duration = Duration::from_millis(50);

/// More threads rarely have anything to do.
const MOST_THREADS: usize = 4;

/// How long a batch takes to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Batches are known to be quick, or too few to start a thread for.
    AtHand,
    /// Threads start when several in a row took long.
    Unknown,
    /// One may wait for a network: threads start after the first.
    Slow,
}

/// Returns batches by number; the next few are made while the caller works on one.
pub(super) struct Prefetcher<B = Batch> {
    prepare: Arc<Prepare<B>>,
    /// There is no batch from this number on.
    end: u64,
    /// Number of batches requested before there were workers.
    begun: AtomicU32,
    slow: AtomicU32,
    crew: Crew,
    workers: Mutex<Option<Workers<B>>>,
}

/// The threads of a prefetcher.
#[derive(Clone, Copy, Debug)]
struct Crew {
    name: &'static str,
    threads: usize,
    /// The maximal number of batches held or being made.
    most: usize,
}

impl<B: Send + 'static> Prefetcher<B> {
    /// Creates a prefetcher for the batches `0..end` of `prepare`.
    pub fn new(prepare: Arc<Prepare<B>>, end: u64) -> Self {
        let crew = Crew { name: "batches", threads: threads(), most: Prefetcher::most_batches() };
        let (begun, slow) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { prepare, end, begun, slow, crew, workers: Mutex::new(None) }
    }

    /// Makes one batch ahead, on one thread, which is called `thread`.
    pub fn one_ahead(self, thread: &'static str) -> Self {
        Self { crew: Crew { name: thread, threads: 1, most: 1 }, ..self }
    }

    /// Says how long a batch takes, as far as it is known.
    pub fn paced(self, pace: Pace) -> Self {
        match pace {
            Pace::AtHand => Self { begun: AtomicU32::new(SLOW_BATCHES), ..self },
            Pace::Unknown => self,
            Pace::Slow => Self { slow: AtomicU32::new(SLOW_BATCHES), ..self },
        }
    }

    /// Whether threads were started, because preparing a batch takes long.
    pub fn is_slow(&self) -> bool {
        lock(&self.workers).is_some()
    }

    /// Returns batch number `number`.
    pub fn batch(&self, number: u64) -> Result<B, DataError> {
        match self.batch_unless(number, &|| false) {
            Ok(None) => (self.prepare)(number),
            Ok(Some(batch)) => Ok(batch),
            Err(error) => Err(error),
        }
    }

    /// Returns batch number `number`, or `None` if `stop` asks to end the wait.
    pub fn batch_unless(&self, number: u64, stop: &dyn Fn() -> bool) -> Result<Option<B>, DataError> {
        let mut workers = lock(&self.workers);
        if let Some(workers) = workers.as_ref() {
            let batch = match workers.shared.take(number, stop) {
                Taken::Batch(batch) => Ok(Some(batch)),
                Taken::Stopped => Ok(None),
                // No thread makes it, or it could not be made; then the error, or the panic, must occur here.
                Taken::Nothing => self.elsewhere(number, stop),
            };
            lock(&workers.shared.queue).abandoned |= matches!(batch, Ok(None));
            return batch;
        }
        let began = Instant::now();
        let batch = match self.begun.fetch_add(1, Ordering::Relaxed) {
            // The first ones may wait for a disk.
            0..SLOW_BATCHES => self.elsewhere(number, stop)?,
            _ => Some((self.prepare)(number)?),
        };
        let slow = if began.elapsed() < PREFETCH_THRESHOLD { 0 } else { self.slow.load(Ordering::Relaxed) + 1 };
        self.slow.store(slow, Ordering::Relaxed);
        if slow >= SLOW_BATCHES {
            *workers = Workers::start(&self.prepare, self.crew, number + 1, self.end);
        }
        Ok(batch)
    }

    /// Makes a batch on another thread; returns `None` if `stop` asks to end the wait.
    fn elsewhere(&self, number: u64, stop: &dyn Fn() -> bool) -> Result<Option<B>, DataError> {
        let (prepare, (send, made)) = (self.prepare.clone(), mpsc::channel());
        let work = move || {
            let batch = prepare(number);
            drop(prepare);
            let _ = send.send(batch);
        };
        if threads::builder(self.crew.name).spawn(work).is_err() {
            return (self.prepare)(number).map(Some);
        }
        loop {
            match made.recv_timeout(LOOK_UP_EVERY) {
                Ok(batch) => return batch.map(Some),
                Err(RecvTimeoutError::Timeout) if stop() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                // The thread has panicked; the panic must occur here.
                Err(RecvTimeoutError::Disconnected) => return (self.prepare)(number).map(Some),
            }
        }
    }

    /// Returns the maximal number of batches held or being made; `None` if no threads were started.
    #[cfg(test)]
    fn most(&self) -> Option<usize> {
        lock(&self.workers).as_ref().map(|workers| workers.shared.most)
    }
}

impl Prefetcher {
    /// Returns the maximal number of batches held or being made with threads.
    pub fn most_batches() -> usize {
        2 * threads()
    }
}

impl<B> fmt::Debug for Prefetcher<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefetcher")
    }
}

/// Returns the number of threads that make batches.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

/// The threads, which end when this is dropped.
struct Workers<B> {
    shared: Arc<Shared<B>>,
    threads: Vec<JoinHandle<()>>,
}

impl<B: Send + 'static> Workers<B> {
    /// Starts making the batches from `next`; `None` if the system refuses threads.
    fn start(prepare: &Arc<Prepare<B>>, crew: Crew, next: u64, end: u64) -> Option<Self> {
        let (queue, most) = (Mutex::new(Queue::from(next)), crew.most);
        let shared = Arc::new(Shared { queue, changed: Condvar::new(), most, end });
        let mut workers = Self { shared, threads: Vec::new() };
        for _ in 0..crew.threads {
            let (shared, prepare) = (workers.shared.clone(), prepare.clone());
            let work = move || shared.work(&*prepare);
            workers.threads.extend(thread::Builder::new().name(crew.name.to_owned()).spawn(work).ok());
        }
        (!workers.threads.is_empty()).then_some(workers)
    }
}

impl<B> Drop for Workers<B> {
    fn drop(&mut self) {
        lock(&self.shared.queue).stopped = true;
        self.shared.changed.notify_all();
        if lock(&self.shared.queue).abandoned {
            return;
        }
        // Each thread ends after its current batch.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// State shared by the caller and the threads.
struct Shared<B> {
    queue: Mutex<Queue<B>>,
    changed: Condvar,
    most: usize,
    end: u64,
}

struct Queue<B> {
    /// The batches that are made or being made, by number.
    slots: BTreeMap<u64, Slot<B>>,
    /// The number of the next one to be made.
    next: u64,
    stopped: bool,
    /// Whether the caller has stopped waiting for a batch, and so will not wait for the threads either.
    abandoned: bool,
}

/// The answer to a request for a batch.
enum Taken<B> {
    Batch(B),
    /// The caller must make it.
    Nothing,
    /// The wait was stopped.
    Stopped,
}

enum Slot<B> {
    InTheMaking,
    Made(B),
    Failed,
}

impl<B> From<u64> for Queue<B> {
    fn from(next: u64) -> Self {
        Self { slots: BTreeMap::new(), next, stopped: false, abandoned: false }
    }
}

impl<B> Shared<B> {
    /// Returns batch number `number` once it is made.
    fn take(&self, number: u64, stop: &dyn Fn() -> bool) -> Taken<B> {
        let mut queue = lock(&self.queue);
        if number > queue.next || (number < queue.next && !queue.slots.contains_key(&number)) {
            // After a jump, batches made for other places are dropped.
            *queue = Queue { stopped: queue.stopped, ..Queue::from(number) };
        }
        queue.slots = queue.slots.split_off(&number);
        if number == queue.next {
            // No thread makes it yet.
            queue.next += 1;
            self.changed.notify_all();
            return Taken::Nothing;
        }
        while let Some(Slot::InTheMaking) = queue.slots.get(&number) {
            queue = self.changed.wait_timeout(queue, LOOK_UP_EVERY).unwrap_or_else(PoisonError::into_inner).0;
            if stop() {
                return Taken::Stopped;
            }
        }
        let slot = queue.slots.remove(&number);
        self.changed.notify_all();
        match slot {
            Some(Slot::Made(batch)) => Taken::Batch(batch),
            _ => Taken::Nothing,
        }
    }

    /// Makes one batch after another until stopped.
    fn work(&self, prepare: &Prepare<B>) {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stopped {
                return;
            }
            if queue.slots.len() >= self.most || queue.next >= self.end {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let number = queue.next;
            queue.next += 1;
            queue.slots.insert(number, Slot::InTheMaking);
            drop(queue);
            let made = panic::catch_unwind(AssertUnwindSafe(|| prepare(number)));
            queue = lock(&self.queue);
            // After a jump it is no longer needed.
            if let Some(slot) = queue.slots.get_mut(&number) {
                *slot = made.ok().and_then(Result::ok).map_or(Slot::Failed, Slot::Made);
            }
            self.changed.notify_all();
        }
    }
}

/// A panic leaves no inconsistent state: guarded data is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
