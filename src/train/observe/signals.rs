//! Signals, handled by a separate thread, so that the sender is answered at once during any work of the run.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;
use signal_hook::low_level;

use super::control::{Answer, Control, SAME};
use crate::threads;

/// Shows an answer to the user.
type Say = Arc<dyn Fn(Answer<'_>) + Send + Sync>;

/// The exit code after a second signal has ended the process without a save.
const NOT_SAVED: i32 = 1;

/// Signals that a user or a batch system sends a second time if the first takes too long. Others are repeated by the
/// system: SIGXCPU comes every second once the limit of processor time is reached.
const INSISTING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

const OTHERS: [i32; 5] = [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGXCPU, libc::SIGIO];

const SAVING: [i32; 2] = [libc::SIGUSR1, libc::SIGUSR2];

/// Returns all signals that end the process by default, except those that report a fault in it, SIGKILL, SIGPIPE (which
/// Rust ignores), SIGXFSZ (see [`file_size_limit_is_an_error`]) and the two that ask for a save.
fn ending() -> Vec<i32> {
    let mut all = [&INSISTING[..], &OTHERS].concat();
    #[cfg(target_os = "linux")]
    {
        all.extend([libc::SIGPWR, libc::SIGSTKFLT]);
        all.extend(libc::SIGRTMIN()..=libc::SIGRTMAX());
    }
    all
}

/// Whether a signal has its default action: it is neither ignored nor handled.
pub fn is_default(signal: i32) -> bool {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to `found`, which has room for it; zeros are a
    // valid value if the call fails.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), found.as_mut_ptr());
        found.assume_init()
    };
    action.sa_sigaction == libc::SIG_DFL
}

/// Makes a write beyond the file size limit of the process (`ulimit -f`) an error, like a full disk, instead of the end
/// of the process. Programs that this one starts are not affected.
///
/// # Errors
/// The handler cannot be installed.
pub fn file_size_limit_is_an_error() -> io::Result<()> {
    if is_default(libc::SIGXFSZ) {
        // A handler, because ignoring would be inherited by started programs. SAFETY: it does nothing.
        unsafe { low_level::register(libc::SIGXFSZ, || {}) }?;
    }
    Ok(())
}

impl Control {
    /// Creates a control that signals use too. `say` shows an answer to the user; it is called on another thread.
    ///
    /// Each signal that would end the process makes the run save and stop: SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU
    /// and so on. SIGUSR1 and SIGUSR2 make it save. A signal that is ignored when this is called stays ignored, as
    /// `nohup` needs it, and one that has a handler keeps it.
    ///
    /// The first is answered at once through `say`. Further ones within a second count as the same request. A later
    /// SIGHUP, SIGINT, SIGQUIT or SIGTERM ends the process at once with exit code 1. If no work is [at
    /// stake](Self::put_at_stake), the first one ends the process, with 128 plus its number.
    ///
    /// # Errors
    /// A handler cannot be installed, or the system refuses a thread.
    pub fn from_signals(say: impl Fn(Answer<'_>) + Send + Sync + 'static) -> io::Result<Self> {
        let control = Self::new();
        listen(control.clone(), Arc::new(say))?;
        Ok(control)
    }
}

/// Makes signals use `control` from now on.
fn listen(control: Control, say: Say) -> io::Result<()> {
    let heard = ending().into_iter().chain(SAVING).filter(|&signal| is_default(signal));
    let mut signals = Signals::new(heard)?;
    let mut ear = Ear { control, say, answered: None };
    let work = move || signals.forever().for_each(|signal| ear.hear(signal));
    let none = |error| threads::cannot_start("that hears signals", &error);
    threads::builder("signals").spawn(work).map(drop).map_err(none)
}

/// State of the signals received so far.
struct Ear {
    control: Control,
    say: Say,
    /// When the first signal that asks the run to stop was answered.
    answered: Option<Instant>,
}

impl Ear {
    fn hear(&mut self, signal: i32) {
        if SAVING.contains(&signal) {
            return self.save(signal);
        }
        match self.answered {
            None => {
                self.first(signal);
                self.answered = Some(Instant::now());
            }
            Some(answered) if answered.elapsed() < SAME || !INSISTING.contains(&signal) => {}
            Some(_) => self.second(signal),
        }
    }

    fn save(&self, signal: i32) {
        let effect = self.control.stake().as_ref().map(|stake| stake.save.clone()).unwrap_or_default();
        if !effect.is_empty() {
            let line = format!("{}: {effect}", name(signal));
            self.tell(move |say| say(Answer::InOrder(&line)));
        }
        self.control.save();
    }

    fn first(&self, signal: i32) {
        let name = name(signal);
        let stake = self.control.stake();
        let Some(in_order) = stake.as_ref().map(|stake| stake.in_order.clone()) else {
            // The lock is held: no work can begin while the process ends.
            self.tell_last(format!("{name}: stopped at once; nothing is lost, because nothing was computed yet"));
            low_level::exit(128 + signal);
        };
        drop(stake);
        // Printed first, because afterwards the process may end at any moment.
        let line = format!("{name}: {in_order}; once more to stop at once, without saving");
        self.tell(move |say| say(Answer::InOrder(&line)));
        self.control.stop(usize::try_from(signal).unwrap_or_default());
    }

    fn second(&self, signal: i32) {
        let at_once = self.control.stake().as_ref().map(|stake| stake.at_once.clone()).unwrap_or_default();
        self.tell_last(format!("{}, the second signal: stopped at once; {at_once}", name(signal)));
        low_level::exit(NOT_SAVED);
    }

    fn tell_last(&self, line: String) {
        self.tell(move |say| say(Answer::Last(&line)));
    }

    /// Answers, but does not wait for long if the output blocks, as on a suspended terminal.
    fn tell(&self, answer: impl FnOnce(&dyn Fn(Answer<'_>)) + Send + 'static) {
        const PATIENCE: Duration = Duration::from_millis(500);
        let (say, (done, told)) = (self.say.clone(), mpsc::channel::<()>());
        let work = move || {
            answer(&*say);
            drop(done);
        };
        if threads::builder("signals").spawn(work).is_ok() {
            let _ = told.recv_timeout(PATIENCE);
        }
    }
}

fn name(signal: i32) -> String {
    low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
