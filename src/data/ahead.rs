//! Batches prepared ahead, on other threads, where preparing one takes long enough to be worth it.
//!
//! What is prepared is a pure function of the number of the batch, so nothing here decides what a batch is, only when
//! it is made: whoever asks for number `n` gets what the function gives for `n`, after a jump, a resume or an error as
//! well. The tensors it makes are in host memory; bringing them to a device is for the thread that trains.

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

/// Makes a batch by its number.
type Prepare = dyn Fn(u64) -> Result<Batch, DataError> + Send + Sync;

/// To hand a batch from one thread to another costs about a tenth of this.
const WORTH_IT: Duration = Duration::from_micros(300);

/// How many batches in a row must have taken as long before threads are started: the first of all may have waited for a
/// disk.
const SLOW_BATCHES: u32 = 3;

/// How often somebody who waits for a batch looks whether to wait on.
const LOOK_UP_EVERY: Duration = Duration::from_millis(50);

/// More threads than this hardly ever have something to do.
const MOST_THREADS: usize = 4;

/// Batches by their numbers, of which the next few are made while the caller is busy with one.
pub(super) struct Ahead {
    prepare: Arc<Prepare>,
    /// There is no batch from this number on.
    end: u64,
    /// How many were asked for before there were workers.
    begun: AtomicU32,
    slow: AtomicU32,
    workers: Mutex<Option<Workers>>,
}

impl Ahead {
    /// For the batches `0..end` that `prepare` makes.
    pub fn new(prepare: Arc<Prepare>, end: u64) -> Self {
        let begun = AtomicU32::new(0);
        Self { prepare, end, begun, slow: AtomicU32::new(0), workers: Mutex::new(None) }
    }

    /// The same, for batches that are known to be quick, or of which too few are asked for to start a thread.
    pub fn at_hand(self) -> Self {
        Self { begun: AtomicU32::new(SLOW_BATCHES), ..self }
    }

    /// Whether threads were started, since preparing a batch takes long.
    pub fn is_slow(&self) -> bool {
        lock(&self.workers).is_some()
    }

    /// Batch number `number`.
    pub fn batch(&self, number: u64) -> Result<Batch, DataError> {
        match self.batch_unless(number, &|| false) {
            Ok(None) => (self.prepare)(number),
            Ok(Some(batch)) => Ok(batch),
            Err(error) => Err(error),
        }
    }

    /// Batch number `number`, or none if `stop` asks not to wait for it any longer.
    pub fn batch_unless(&self, number: u64, stop: &dyn Fn() -> bool) -> Result<Option<Batch>, DataError> {
        let mut workers = lock(&self.workers);
        if let Some(workers) = workers.as_ref() {
            let batch = match workers.shared.take(number, stop) {
                Taken::Batch(batch) => Ok(Some(batch)),
                Taken::Stopped => Ok(None),
                // Nobody is at it, or it could not be made; then the error, or the panic, belongs here.
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
        let slow = if began.elapsed() < WORTH_IT { 0 } else { self.slow.load(Ordering::Relaxed) + 1 };
        self.slow.store(slow, Ordering::Relaxed);
        if slow >= SLOW_BATCHES {
            *workers = Workers::start(&self.prepare, number + 1, self.end);
        }
        Ok(batch)
    }

    /// A batch that is made on another thread, or none if `stop` asks not to wait for it any longer.
    fn elsewhere(&self, number: u64, stop: &dyn Fn() -> bool) -> Result<Option<Batch>, DataError> {
        let (prepare, (send, made)) = (self.prepare.clone(), mpsc::channel());
        let work = move || {
            let batch = prepare(number);
            drop(prepare);
            let _ = send.send(batch);
        };
        if threads::builder("batches").spawn(work).is_err() {
            return (self.prepare)(number).map(Some);
        }
        loop {
            match made.recv_timeout(LOOK_UP_EVERY) {
                Ok(batch) => return batch.map(Some),
                Err(RecvTimeoutError::Timeout) if stop() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                // It has panicked: that belongs here.
                Err(RecvTimeoutError::Disconnected) => return (self.prepare)(number).map(Some),
            }
        }
    }

    /// How many batches are held or being made at most, where threads make them.
    pub fn most_batches() -> usize {
        2 * threads()
    }

    /// How many batches are held or being made at most, or none where no threads were started.
    #[cfg(test)]
    fn most(&self) -> Option<usize> {
        lock(&self.workers).as_ref().map(|workers| workers.shared.most)
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ahead")
    }
}

/// How many threads make batches.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

/// The threads, which end when this is dropped.
struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts to make the batches from `next` on; none where the system gives no threads.
    fn start(prepare: &Arc<Prepare>, next: u64, end: u64) -> Option<Self> {
        let (count, most) = (threads(), Ahead::most_batches());
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::from(next)), changed: Condvar::new(), most, end });
        let mut workers = Self { shared, threads: Vec::new() };
        for _ in 0..count {
            let (shared, prepare) = (workers.shared.clone(), prepare.clone());
            let work = move || shared.work(&*prepare);
            workers.threads.extend(thread::Builder::new().name("batches".to_owned()).spawn(work).ok());
        }
        (!workers.threads.is_empty()).then_some(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.queue).stopped = true;
        self.shared.changed.notify_all();
        if lock(&self.shared.queue).abandoned {
            return;
        }
        // Each ends with the batch that it is at.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// What caller and threads have in common.
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    most: usize,
    end: u64,
}

struct Queue {
    /// The batches that are made or being made, by number.
    slots: BTreeMap<u64, Slot>,
    /// The number of the next one to be made.
    next: u64,
    stopped: bool,
    /// Whether the caller did not wait for a batch, and so will not wait for the threads either.
    abandoned: bool,
}

/// The answer to a request for a batch.
enum Taken {
    Batch(Batch),
    /// It must be made by the caller.
    Nothing,
    /// It was asked not to wait.
    Stopped,
}

enum Slot {
    InTheMaking,
    Made(Batch),
    Failed,
}

impl From<u64> for Queue {
    fn from(next: u64) -> Self {
        Self { slots: BTreeMap::new(), next, stopped: false, abandoned: false }
    }
}

impl Shared {
    /// Batch number `number`, once it is made.
    fn take(&self, number: u64, stop: &dyn Fn() -> bool) -> Taken {
        let mut queue = lock(&self.queue);
        if number > queue.next || (number < queue.next && !queue.slots.contains_key(&number)) {
            // A jump: what was made for elsewhere is let go.
            *queue = Queue { stopped: queue.stopped, ..Queue::from(number) };
        }
        queue.slots = queue.slots.split_off(&number);
        if number == queue.next {
            // Nobody is at it yet.
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

    /// Makes one batch after another until told to stop.
    fn work(&self, prepare: &Prepare) {
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
            // After a jump nobody waits for it any more.
            if let Some(slot) = queue.slots.get_mut(&number) {
                *slot = made.ok().and_then(Result::ok).map_or(Slot::Failed, Slot::Made);
            }
            self.changed.notify_all();
        }
    }
}

/// A thread that panicked has left nothing half done: what is guarded is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
