//! Signs of life between neighbours, on a thread beside training: MPI itself does not say that a process has ended or
//! is stopped, and others would wait for it forever.
//!
//! Each process sends a beat to the one before it, and listens to the one after it. A beat also says which process is
//! lost, so this is soon known everywhere. Silence is counted in pauses of the listener, of limited length, so that
//! nobody is missed after all of them were suspended together.

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mpi::ffi;
use mpi::raw::AsRaw;
use mpi::topology::{Communicator, SimpleCommunicator};

use crate::threads;

/// The time between two beats.
const BEAT: Duration = Duration::from_millis(200);

/// The time between two looks for a beat of the neighbour.
const LOOK: Duration = Duration::from_millis(40);

/// The same where others wait for the end of the beats.
const LAST_LOOK: Duration = Duration::from_millis(2);

/// The silence after which a process counts as lost.
pub(super) const SILENCE: Duration = Duration::from_secs(4);

const TAG: c_int = 7;

const NOBODY: usize = usize::MAX;

/// Is added to the number of a process that has said itself that it ends with an error.
const FAILED: usize = 1 << 40;

/// A beat that says nothing else.
const ALIVE: u64 = u64::MAX;

/// The last beat of a process, which ends in order.
const LEAVING: u64 = u64::MAX - 1;

/// The thread with the beats of this process.
pub(super) struct Heartbeat {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    lost: AtomicUsize,
    stopped: AtomicBool,
}

impl Heartbeat {
    /// Starts the beats of this process, together with all others of `world`.
    pub fn start(world: &SimpleCommunicator) -> io::Result<Self> {
        let shared = Arc::new(Shared { lost: AtomicUsize::new(NOBODY), stopped: AtomicBool::new(false) });
        let beats = Beats::new(world, Arc::clone(&shared));
        let thread = threads::builder("heartbeat").spawn(move || beats.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Returns the number of a process that no longer answers, or ends with an error.
    pub fn lost(&self) -> Option<usize> {
        Some(self.shared.lost.load(Ordering::Acquire)).filter(|&lost| lost != NOBODY).map(|lost| lost % FAILED)
    }

    /// Whether the lost process has said that it ends with an error.
    pub fn has_failed(&self) -> bool {
        let lost = self.shared.lost.load(Ordering::Acquire);
        lost != NOBODY && lost >= FAILED
    }

    /// Tells the others that this process, number `rank`, ends with an error.
    pub fn fail(&self, rank: usize) {
        self.shared.lost.store(rank + FAILED, Ordering::Release);
    }

    /// Ends the beats in order, together with the neighbours; whether all have answered until then.
    pub fn stop(&self) -> bool {
        self.shared.stopped.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.is_none_or(|thread| thread.join().is_ok()) && self.lost().is_none()
    }
}

struct Beats {
    /// A communicator for the beats alone.
    world: SimpleCommunicator,
    to: c_int,
    from: c_int,
    shared: Arc<Shared>,
}

// SAFETY: MPI was initialized for several threads, of which one uses this communicator.
unsafe impl Send for Beats {}

impl Beats {
    fn new(world: &SimpleCommunicator, shared: Arc<Shared>) -> Self {
        let (rank, size) = (world.rank(), world.size());
        let world = world.duplicate();
        // SAFETY: the communicator is valid; from now on, calls return their errors.
        unsafe { ffi::MPI_Comm_set_errhandler(world.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
        Self { world, to: (rank + size - 1) % size, from: (rank + 1) % size, shared }
    }

    fn run(&self) {
        let (mut silent, mut heard_last) = (Duration::ZERO, false);
        let (mut said, mut since_beat) = (None, Duration::ZERO);
        let mut sending = Sending::none();
        loop {
            let stops = self.shared.stopped.load(Ordering::Acquire);
            let lost = self.shared.lost.load(Ordering::Acquire);
            let word = match (lost, stops) {
                (NOBODY, true) => LEAVING,
                (NOBODY, false) => ALIVE,
                (lost, _) => lost as u64,
            };
            // News do not wait for the next beat.
            let is_due = said != Some(word) || since_beat >= BEAT;
            if said != Some(LEAVING) && is_due && sending.is_done() {
                sending.send(word, self.to, &self.world);
                (said, since_beat) = (Some(word), Duration::ZERO);
            }
            let words = self.hear();
            heard_last |= words == Some(LEAVING);
            if let Some(other) = words.filter(|&words| words < LEAVING) {
                let lost = &self.shared.lost;
                let _ = lost.compare_exchange(NOBODY, other as usize, Ordering::AcqRel, Ordering::Acquire);
            }
            if words.is_some() || heard_last {
                silent = Duration::ZERO;
            } else if silent >= SILENCE {
                self.shared.lost.store(self.from as usize, Ordering::Release);
            }
            let has_said_last = said == Some(LEAVING) && sending.is_done();
            if stops && (lost != NOBODY || (has_said_last && heard_last)) {
                return sending.abandon();
            }
            let (began, pause) = (Instant::now(), if stops { LAST_LOOK } else { LOOK });
            std::thread::sleep(pause);
            let slept = began.elapsed().min(2 * pause);
            silent += slept;
            since_beat += slept;
        }
    }

    /// Returns the most important word of the beats that have come.
    fn hear(&self) -> Option<u64> {
        let mut heard = None;
        loop {
            let mut has_come: c_int = 0;
            // SAFETY: the communicator is valid, and there is room for the answer.
            let code = unsafe {
                ffi::MPI_Iprobe(self.from, TAG, self.world.as_raw(), &raw mut has_come, ffi::RSMPI_STATUS_IGNORE)
            };
            if code != ffi::MPI_SUCCESS as c_int || has_come == 0 {
                return heard;
            }
            let mut word = 0u64;
            // SAFETY: the message has come, and has this length.
            unsafe {
                ffi::MPI_Recv(
                    (&raw mut word).cast(),
                    1,
                    ffi::RSMPI_UINT64_T,
                    self.from,
                    TAG,
                    self.world.as_raw(),
                    ffi::RSMPI_STATUS_IGNORE,
                )
            };
            heard = Some(heard.map_or(word, |before: u64| before.min(word)));
        }
    }
}

/// A beat on its way.
struct Sending {
    request: ffi::MPI_Request,
    word: Box<u64>,
}

impl Sending {
    fn none() -> Self {
        // SAFETY: the constant is MPI's.
        Self { request: unsafe { ffi::RSMPI_REQUEST_NULL }, word: Box::new(0) }
    }

    fn is_done(&mut self) -> bool {
        let mut is_done: c_int = 0;
        // SAFETY: the request is that of the last beat, or null.
        let code = unsafe { ffi::MPI_Test(&raw mut self.request, &raw mut is_done, ffi::RSMPI_STATUS_IGNORE) };
        code == ffi::MPI_SUCCESS as c_int && is_done != 0
    }

    /// Sends a beat; the one before it must be done.
    fn send(&mut self, word: u64, to: c_int, world: &SimpleCommunicator) {
        *self.word = word;
        // SAFETY: the word stays where it is until the request is done.
        unsafe {
            ffi::MPI_Isend(
                (&raw const *self.word).cast(),
                1,
                ffi::RSMPI_UINT64_T,
                to,
                TAG,
                world.as_raw(),
                &raw mut self.request,
            )
        };
    }

    /// MPI may still read the word, which is never freed.
    fn abandon(self) {
        std::mem::forget(self.word);
    }
}
