//! Threads that compute together with the thread that asks.
//!
//! An operation of a small model takes some ten microseconds, about as long as the system takes to wake a thread. So
//! the caller computes too, and the workers look for the next task for a while before they sleep. Which thread computes
//! a task changes no bit: tasks are the same for any number of threads.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{hint, io, thread};

/// How long a worker looks for a next task before it sleeps.
const AWAKE: Duration = Duration::from_micros(300);

/// Looks between two readings of the clock, or before a thread offers its processor to others.
const LOOKS: u32 = 256;

/// The bit of [`Workers::state`] that says that the task list is open. Bits below it count the workers within it, bits
/// above it the lists so far.
const OPEN: u64 = 1 << 16;

/// One more list.
const NEXT: u64 = OPEN << 1;

thread_local! {
    /// The workers that this thread computes with, if they are not those of the process.
    static OWN: Cell<Option<&'static Workers>> = const { Cell::new(None) };
}

/// Of a worker: what its tasks call is computed on its own thread.
static NOBODY: Workers = Workers::new(0);

/// The tasks of one call.
#[derive(Clone, Copy)]
struct List<'a> {
    count: usize,
    work: &'a (dyn Fn(usize) + Sync),
}

/// The threads of this process, and the tasks that they share.
struct Workers {
    /// One call has the workers at a time.
    caller: Mutex<()>,
    count: usize,
    state: AtomicU64,
    /// The next task of the open list.
    next: AtomicUsize,
    list: UnsafeCell<Option<List<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: AtomicUsize,
    sleeping: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `list` is written only by the caller that holds `caller`, while the list is closed and no worker is within
// it; workers read it only within it.
unsafe impl Sync for Workers {}

static WORKERS: OnceLock<&'static Workers> = OnceLock::new();

/// Starts the workers: one less than rayon has threads, because a caller computes too.
///
/// # Errors
/// The system refuses a thread. Calls compute with those that were started.
pub(crate) fn start() -> io::Result<()> {
    let mut refused = None;
    WORKERS.get_or_init(|| Workers::with_threads(rayon::current_num_threads(), &mut refused));
    refused.map_or(Ok(()), Err)
}

fn of_this_thread() -> &'static Workers {
    OWN.get().unwrap_or_else(|| WORKERS.get_or_init(|| Workers::with_threads(rayon::current_num_threads(), &mut None)))
}

/// Calls `work` with each number below `tasks`, on several threads, and returns after the last one. Calls within a task,
/// or while another thread has the workers, compute on their own thread.
pub(crate) fn for_each(tasks: usize, work: &(dyn Fn(usize) + Sync)) {
    let workers = of_this_thread();
    let caller = (tasks > 1 && workers.count > 0).then(|| workers.caller.try_lock().ok()).flatten();
    match caller {
        Some(caller) => workers.compute(caller, List { count: tasks, work }),
        None => (0..tasks).for_each(work),
    }
}

/// The number of threads that compute together for this one.
pub(crate) fn threads() -> usize {
    of_this_thread().count + 1
}

/// Runs `work`, and computes all that it calls on this thread.
#[cfg(feature = "cli")]
pub(crate) fn alone<R>(work: impl FnOnce() -> R) -> R {
    let before = OWN.replace(Some(&NOBODY));
    let result = work();
    OWN.set(before);
    result
}

/// Runs `work` with this number of threads.
#[cfg(test)]
pub(crate) fn with_threads<R>(threads: usize, work: impl FnOnce() -> R) -> R {
    let before = OWN.replace(Some(Workers::with_threads(threads, &mut None)));
    let result = work();
    OWN.set(before);
    result
}

impl Workers {
    const fn new(count: usize) -> Self {
        Self {
            caller: Mutex::new(()),
            count,
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            list: UnsafeCell::new(None),
            panic: Mutex::new(None),
            asleep: AtomicUsize::new(0),
            sleeping: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Starts workers, which compute with a caller on this number of threads together. They are there until the process
    /// ends.
    fn with_threads(threads: usize, refused: &mut Option<io::Error>) -> &'static Self {
        let workers: &'static Self = Box::leak(Box::new(Self::new(threads.saturating_sub(1))));
        for number in 0..workers.count {
            let builder = thread::Builder::new().name(format!("compute-{number}"));
            if let Err(error) = builder.spawn(move || workers.serve()) {
                *refused = Some(error);
                break;
            }
        }
        workers
    }

    /// Computes a list together with the workers.
    fn compute(&self, caller: MutexGuard<'_, ()>, list: List<'_>) {
        // SAFETY: the list is used only until this function returns, which is after all workers have left it.
        let list = unsafe { std::mem::transmute::<List<'_>, List<'static>>(list) };
        // SAFETY: this thread holds `caller`, the list is closed, and no worker is within it.
        unsafe { *self.list.get() = Some(list) };
        self.next.store(0, Ordering::Relaxed);
        self.state.fetch_add(NEXT | OPEN, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(self.sleeping.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
        self.take_tasks(list);
        let mut looks = 0;
        let mut state = self.state.fetch_and(!OPEN, Ordering::AcqRel);
        while state & (OPEN - 1) > 0 {
            looks += 1;
            if looks % LOOKS == 0 {
                thread::yield_now()
            } else {
                hint::spin_loop()
            }
            state = self.state.load(Ordering::Acquire);
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(caller);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Computes tasks until all are taken. A panic is kept for the caller, and ends the list.
    fn take_tasks(&self, list: List<'_>) {
        let computed = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let task = self.next.fetch_add(1, Ordering::Relaxed);
                if task >= list.count {
                    break;
                }
                (list.work)(task);
            }
        }));
        if let Err(panic) = computed {
            self.next.store(list.count, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }

    /// A worker's life.
    fn serve(&self) {
        OWN.set(Some(&NOBODY));
        let mut last = 0;
        loop {
            let list = self.enter(last);
            last = list.0;
            self.take_tasks(list.1);
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for a list after number `last`, and enters it. It can be left until the caller has closed it.
    fn enter(&self, last: u64) -> (u64, List<'static>) {
        let (mut since, mut looks) = (None, 0u32);
        loop {
            if let Some(state) = self.open_after(last, Ordering::Acquire) {
                let entered = self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
                // SAFETY: the list is open and counts this worker, so the caller waits until it has left.
                let list = entered.ok().and_then(|_| unsafe { *self.list.get() });
                if let Some(list) = list {
                    return (state / NEXT, list);
                }
                continue;
            }
            hint::spin_loop();
            looks += 1;
            if looks % LOOKS == 0 && since.get_or_insert_with(Instant::now).elapsed() > AWAKE {
                self.sleep(last);
                since = None;
            }
        }
    }

    /// Returns the state, if a list after number `last` is open.
    fn open_after(&self, last: u64, ordering: Ordering) -> Option<u64> {
        let state = self.state.load(ordering);
        (state & OPEN != 0 && state / NEXT != last).then_some(state)
    }

    /// Sleeps until there is a list after number `last`.
    fn sleep(&self, last: u64) {
        let mut sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        // A caller that opens a list after this look sees that a worker is asleep.
        while self.open_after(last, Ordering::SeqCst).is_none() {
            sleeping = self.wake.wait(sleeping).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn counts(tasks: usize) -> Vec<AtomicU32> {
        (0..tasks).map(|_| AtomicU32::new(0)).collect()
    }

    fn assert_all_once(counts: Vec<AtomicU32>) {
        assert!(counts.into_iter().all(|count| count.into_inner() == 1));
    }

    #[test]
    fn every_task_is_computed_once_whether_workers_are_awake_or_asleep() {
        let mut refused = None;
        let workers = Workers::with_threads(4, &mut refused);
        assert!(refused.is_none());
        for round in 0..300 {
            let tasks = round % 40;
            let counts = counts(tasks);
            let add = |task: usize| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            };
            workers.compute(workers.caller.try_lock().unwrap(), List { count: tasks, work: &add });
            assert_all_once(counts);
            if round % 50 == 0 {
                thread::sleep(4 * AWAKE);
            }
        }
    }

    #[test]
    fn calls_at_the_same_time_and_calls_within_tasks_are_computed() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let counts = counts(6 * 5);
                        for_each(6, &|outer| {
                            for_each(5, &|inner| {
                                counts[outer * 5 + inner].fetch_add(1, Ordering::Relaxed);
                            });
                        });
                        assert_all_once(counts);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_the_workers_go_on() {
        let workers = Workers::with_threads(3, &mut None);
        let compute = |work: &(dyn Fn(usize) + Sync)| {
            workers.compute(workers.caller.lock().unwrap_or_else(PoisonError::into_inner), List { count: 20, work });
        };
        let panic = catch_unwind(AssertUnwindSafe(|| compute(&|task| assert_ne!(task, 7)))).unwrap_err();
        assert!(panic.downcast_ref::<String>().is_some());
        let counts = counts(20);
        compute(&|task| {
            counts[task].fetch_add(1, Ordering::Relaxed);
        });
        assert_all_once(counts);
    }

    /// Also after lists that were closed before a worker came.
    #[test]
    fn idle_workers_sleep() {
        let workers = Workers::with_threads(3, &mut None);
        let asleep = || workers.asleep.load(Ordering::SeqCst);
        for _ in 0..2000 {
            workers.compute(workers.caller.try_lock().unwrap(), List { count: 0, work: &|_| {} });
        }
        let began = Instant::now();
        while asleep() < 2 {
            assert!(began.elapsed() < Duration::from_secs(20), "{} sleep", asleep());
            thread::sleep(AWAKE);
        }
        for _ in 0..20 {
            assert_eq!(asleep(), 2);
            thread::sleep(AWAKE / 2);
        }
    }

    #[test]
    fn one_thread_computes_alone() {
        let here = thread::current().id();
        with_threads(1, || {
            assert_eq!(threads(), 1);
            for_each(10, &|_| assert_eq!(thread::current().id(), here));
        });
    }
}
