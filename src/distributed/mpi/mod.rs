//! Processes connected by MPI: those that `mpirun` or `srun` has started.
//!
//! MPI only moves bytes here, with calls that return at once, so a process that waits can look whether another one has
//! ended: in a blocking call of MPI it would wait forever.

#[cfg(feature = "nccl")]
mod gpus;
mod heartbeat;
mod transfer;

#[cfg(feature = "nccl")]
use std::cell::OnceCell;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mpi::environment::{self, Universe};
use mpi::ffi;
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::{Threading, raw::AsRaw};

use self::heartbeat::Heartbeat;
use self::transfer::Transfer;
#[cfg(feature = "nccl")]
use super::nccl::Nccl;
use super::{Communicator, CommunicatorError, Launched, Message};

/// How long a process looks for the end of a transfer without pausing.
const EAGER: Duration = Duration::from_millis(20);

/// The pause before MPI ends, or ends all processes.
const BEFORE_THE_END: Duration = Duration::from_millis(100);

/// How long MPI may take to end, or to end all processes.
const END: Duration = Duration::from_secs(5);

/// The pause between two looks after that.
const PAUSE: Duration = Duration::from_micros(100);

/// Whether to give up a wait for other processes.
type GiveUp = Box<dyn Fn() -> bool + Send + Sync>;

/// This process among those that MPI connects. MPI ends with it.
pub struct Mpi {
    shared: Arc<Shared>,
    /// Dropped last.
    universe: Option<Universe>,
}

/// The connection, which a session and the program share.
struct Shared {
    world: SimpleCommunicator,
    rank: usize,
    size: usize,
    local_rank: usize,
    heartbeat: Option<Heartbeat>,
    give_up: Mutex<Option<GiveUp>>,
    /// The connection between the GPUs, once there is one.
    #[cfg(feature = "nccl")]
    gpus: OnceCell<Nccl>,
}

impl Mpi {
    /// Initializes MPI in a process that was `launched`. Call it once, before signals are handled: an MPI installs
    /// handlers too.
    ///
    /// # Errors
    /// MPI does not connect the processes that were launched: most often, because the launcher is that of another MPI.
    pub fn join(launched: Launched) -> Result<Self, String> {
        let saved = Handlers::of(&[libc::SIGUSR1]);
        let started = environment::initialize_with_threading(Threading::Multiple);
        saved.restore();
        let (universe, threading) = started.ok_or("MPI is already initialized in this process")?;
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        if size != launched.world {
            let library = environment::library_version().unwrap_or_default();
            let library = library.lines().next().unwrap_or_default().trim().to_owned();
            return Err(format!(
                "{} has started {} processes, and MPI connects {size}: this program was built with {library}; start it \
                 with the mpirun of that MPI, or build it with the MPI of the launcher",
                launched.by, launched.world
            ));
        }
        // SAFETY: the communicator is valid; from now on, calls return their errors.
        unsafe { ffi::MPI_Comm_set_errhandler(world.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
        let heartbeat = (size > 1 && threading == Threading::Multiple).then(|| Heartbeat::start(&world));
        let heartbeat = heartbeat.transpose().map_err(|error| format!("no thread for the heartbeat: {error}"))?;
        let shared = Shared {
            world,
            rank,
            size,
            local_rank: launched.local_rank(),
            heartbeat,
            give_up: Mutex::new(None),
            #[cfg(feature = "nccl")]
            gpus: OnceCell::new(),
        };
        #[allow(clippy::arc_with_non_send_sync, reason = "runs take an Arc; a process uses it on one thread")]
        let shared = Arc::new(shared);
        Ok(Self { shared, universe: Some(universe) })
    }

    /// Gives up each wait for other processes once `give_up` says so.
    pub fn give_up_when(&self, give_up: impl Fn() -> bool + Send + Sync + 'static) {
        *self.shared.give_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(give_up));
    }

    /// Returns the connection for a run.
    pub fn communicator(&self) -> Arc<dyn Communicator> {
        self.shared.clone()
    }

    /// Returns the number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.shared.rank
    }

    /// Returns how many processes there are.
    pub fn world(&self) -> usize {
        self.shared.size
    }

    /// Returns the number of a process that no longer answers.
    pub fn lost(&self) -> Option<usize> {
        self.shared.heartbeat.as_ref()?.lost()
    }

    /// Tells the other processes that this one ends with an error, so that the first one saves.
    pub fn fail(&self) {
        if let Some(heartbeat) = &self.shared.heartbeat {
            heartbeat.fail(self.shared.rank);
        }
    }

    /// Ends the connection, together with all other processes; this one then ends with `code`.
    pub fn leave(mut self, code: u8) {
        // The first process may still save. Until all are here, the heartbeat tells if one is lost.
        let are_here = self.shared.meet().is_ok();
        if !are_here || !self.shared.heartbeat.as_ref().is_none_or(Heartbeat::stop) {
            self.abort(1);
        }
        // MPICH's end over TCP waits forever for a process that has just left, in most runs of four on two hosts; after
        // a pause it did not.
        std::thread::sleep(BEFORE_THE_END);
        exits_within(END, code);
        drop(self.universe.take());
    }

    /// Ends all processes of the run at once, this one with `code`.
    pub fn abort(self, code: u8) -> ! {
        // It waits forever for a launcher that cannot be reached.
        exits_within(END, code);
        // The launcher forwards what was printed last; once it is told to end all, it may drop the rest.
        std::thread::sleep(BEFORE_THE_END);
        self.shared.world.abort(c_int::from(code))
    }
}

/// Ends this process with `code` after `time`, whatever MPI does until then.
fn exits_within(time: Duration, code: u8) {
    let work = move || {
        std::thread::sleep(time);
        // SAFETY: the call ends the process, and runs nothing of it.
        unsafe { libc::_exit(c_int::from(code)) }
    };
    // Without a thread, MPI decides alone when the process ends.
    drop(crate::threads::builder("last").spawn(work));
}

impl Shared {
    /// Waits until all processes are here.
    fn meet(&self) -> Result<(), CommunicatorError> {
        if self.size == 1 {
            return Ok(());
        }
        self.all_gather(Message::of(&[0]), &vec![1; self.size]).map(drop)
    }

    /// Waits for the end of a transfer, and returns what has come.
    fn complete(&self, mut transfer: Transfer) -> Result<Message, CommunicatorError> {
        let (began, mut looks) = (Instant::now(), 0u32);
        loop {
            match transfer.is_complete() {
                Ok(true) => return Ok(transfer.received()),
                Ok(false) => {}
                Err(error) => {
                    transfer.abandon();
                    return Err(error);
                }
            }
            looks += 1;
            if looks.is_multiple_of(64)
                && let Some(error) = self.reason_to_give_up()
            {
                transfer.abandon();
                return Err(error);
            }
            match began.elapsed() < EAGER {
                true => std::thread::yield_now(),
                false => std::thread::sleep(PAUSE),
            }
        }
    }

    fn reason_to_give_up(&self) -> Option<CommunicatorError> {
        if let Some(lost) = self.heartbeat.as_ref().and_then(Heartbeat::lost) {
            let silence = heartbeat::SILENCE.as_secs();
            return Some(match self.heartbeat.as_ref().is_some_and(Heartbeat::has_failed) {
                true => format!("process {lost} ends with an error").into(),
                false => format!(
                    "process {lost} has not answered for {silence} s: it has ended, it is stopped, or its machine \
                     cannot be reached"
                )
                .into(),
            });
        }
        let give_up = self.give_up.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = give_up.as_ref().is_some_and(|give_up| give_up());
        asked.then(|| "the others had not finished the step when this process was asked to stop".into())
    }
}

impl Communicator for Shared {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.size
    }

    fn all_to_all(
        &self,
        parts: Message,
        sizes: &[usize],
        received_sizes: &[usize],
    ) -> Result<Message, CommunicatorError> {
        self.complete(Transfer::all_to_all(&self.world, parts, sizes, received_sizes)?)
    }

    fn all_gather(&self, own: Message, sizes: &[usize]) -> Result<Message, CommunicatorError> {
        self.complete(Transfer::all_gather(&self.world, own, sizes)?)
    }

    fn local_rank(&self) -> usize {
        self.local_rank
    }

    #[cfg(feature = "nccl")]
    fn connect(&self, device: &candle_core::Device) -> Result<(), super::ConnectError> {
        self.connect_gpus(device)
    }

    #[cfg(feature = "nccl")]
    fn link(&self) -> Option<&dyn super::DeviceLink> {
        self.gpus.get().map(|_| self as &dyn super::DeviceLink)
    }
}

/// Actions of signals, which MPI may replace.
struct Handlers(Vec<(c_int, libc::sigaction)>);

impl Handlers {
    fn of(signals: &[c_int]) -> Self {
        let actions = signals.iter().filter_map(|&signal| {
            let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: without a new action the call only writes the present one, for which there is room.
            let read = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
            // SAFETY: the call has written it.
            (read == 0).then(|| (signal, unsafe { action.assume_init() }))
        });
        Self(actions.collect())
    }

    fn restore(self) {
        for (signal, action) in self.0 {
            // SAFETY: it is an action that the signal had.
            unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        }
    }
}
