//! Processes connected by MPI: those that `mpirun` or `srun` has started.
//!
//! MPI only moves bytes here, with calls that return at once, so a process that waits can look whether another one has
//! ended: in a blocking call of MPI it would wait forever.

#[cfg(feature = "nccl")]
mod gpus;
mod handlers;
mod heartbeat;
mod transfer;
mod wait;
mod window;

#[cfg(feature = "nccl")]
use std::cell::OnceCell;
use std::cell::RefCell;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mpi::environment::{self, Universe};
use mpi::ffi;
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::{Threading, raw::AsRaw};

use self::handlers::Handlers;
use self::heartbeat::Heartbeat;
use self::transfer::Transfer;
use self::wait::Wait;
use self::window::{Window, Without};
#[cfg(feature = "nccl")]
use super::nccl::Nccl;
use super::{Communicator, CommunicatorError, Exchanged, Launched, Message, Rooms, SharedMemory};

/// The pause before MPI ends, or ends all processes.
const BEFORE_THE_END: Duration = Duration::from_millis(100);

/// How long MPI may take to end, or to end all processes.
const END: Duration = Duration::from_secs(5);

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
    /// The memory that all processes have mapped, while MPI is there.
    window: RefCell<Option<Window>>,
    /// Why there is none on one host.
    without: Option<String>,
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
        let (window, without) = match (size > 1).then(|| Window::open(&world)) {
            Some(Ok(window)) => (Some(window), None),
            Some(Err(Without::Reason(reason))) => (None, Some(reason)),
            Some(Err(Without::Hosts)) | None => (None, None),
        };
        let heartbeat = (size > 1 && threading == Threading::Multiple).then(|| Heartbeat::start(&world));
        let heartbeat = heartbeat.transpose().map_err(|error| format!("no thread for the heartbeat: {error}"))?;
        let shared = Shared {
            world,
            rank,
            size,
            local_rank: launched.local_rank(),
            window: RefCell::new(window),
            without,
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

    /// Returns why the processes share no memory, if they could: all are on one host.
    pub fn without_memory(&self) -> Option<&str> {
        self.shared.without.as_deref()
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
        if let Some(window) = self.shared.window.take() {
            window.close();
        }
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
        let give_up = || self.reason_to_give_up();
        let mut wait = Wait::new(&give_up);
        loop {
            let paused = match transfer.is_complete() {
                Ok(true) => return Ok(transfer.received()),
                Ok(false) => wait.pause(),
                Err(error) => Err(error),
            };
            if let Err(error) = paused {
                transfer.abandon();
                return Err(error);
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

    fn memory(&self) -> Option<&dyn SharedMemory> {
        self.window.borrow().as_ref().map(|_| self as &dyn SharedMemory)
    }
}

impl SharedMemory for Shared {
    fn rooms(&self) -> [usize; 2] {
        self.window.borrow().as_ref().map_or([0; 2], Window::rooms)
    }

    fn exchange(
        &self,
        give: &mut dyn FnMut(&mut [u8]) -> Exchanged,
        add: &mut dyn FnMut(&Rooms<'_>, &mut [u8]) -> Exchanged,
        take: &mut dyn FnMut(&Rooms<'_>) -> Exchanged,
    ) -> Exchanged {
        let window = self.window.borrow();
        let window = window.as_ref().ok_or("the connection between the processes has ended")?;
        window.exchange(give, add, take, &|| self.reason_to_give_up())
    }
}
