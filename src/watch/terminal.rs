//! The terminal: taken over while a run is watched, and given back at every end, also by a signal or a panic.

use std::io::{self, IsTerminal, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::{flag, low_level};

/// The terminal while it is ours.
pub struct Screen {
    /// Draws on it.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// Whether this process has a terminal on which a screen can be drawn.
pub fn is_there() -> bool {
    let can_draw = std::env::var_os("TERM").is_none_or(|name| name != "dumb");
    can_draw && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The news of a terminal.
pub enum News {
    /// A key, or another size.
    Event(Event),
    /// Nothing has happened, or a signal has come.
    Nothing,
    /// Nobody has the terminal any more.
    Gone,
}

/// Waits for news, at most this long.
pub fn news(limit: Duration) -> io::Result<News> {
    // Without waiting first: several keys may have been read together.
    for limit in [Duration::ZERO, limit] {
        if !is_there_after(limit) {
            return Ok(News::Gone);
        }
        if event::poll(Duration::ZERO)? {
            return event::read().map(News::Event);
        }
    }
    Ok(News::Nothing)
}

/// Waits for a key or a signal, at most this long, and returns whether the terminal is still there. Of one that is gone
/// the library for keys would read without an end.
fn is_there_after(limit: Duration) -> bool {
    let stdin = io::stdin();
    let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
    // A signal ends the wait, and others look at it.
    let _ = poll(&mut waited, Timespec::try_from(limit).ok().as_ref());
    !waited[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

impl Screen {
    /// Takes the terminal over.
    pub fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                leave();
                before(info);
            }));
        });
        enable_raw_mode()?;
        // From here on dropping it gives the terminal back.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).inspect_err(|_| leave())?;
        let mut screen = Self { terminal };
        screen.take_over()?;
        Ok(screen)
    }

    fn take_over(&mut self) -> io::Result<()> {
        execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide)?;
        // `Terminal::clear` would ask the terminal for the place of its cursor, and fail without an answer.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Gives the terminal back, stops this process as Ctrl-Z does, and takes the terminal over once it continues.
    pub fn suspend(&mut self) -> io::Result<()> {
        leave();
        low_level::emulate_default_handler(SIGTSTP)?;
        enable_raw_mode()?;
        self.take_over()
    }

    /// Takes the terminal over again after another program had it.
    pub fn again(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        self.take_over()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back. It may be gone, which is no error.
fn leave() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// The signals to this process.
pub struct Signals {
    ends: Arc<AtomicBool>,
    suspends: Arc<AtomicBool>,
    continues: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        let all = Self { ends: Arc::default(), suspends: Arc::default(), continues: Arc::default() };
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            flag::register(signal, Arc::clone(&all.ends))?;
        }
        flag::register(SIGTSTP, Arc::clone(&all.suspends))?;
        flag::register(SIGCONT, Arc::clone(&all.continues))?;
        Ok(all)
    }

    /// Whether this process was asked to end.
    pub fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Whether this process was asked to suspend itself since the last call.
    pub fn suspends(&self) -> bool {
        self.suspends.swap(false, Ordering::Relaxed)
    }

    /// Whether this process was continued since the last call.
    pub fn continues(&self) -> bool {
        self.continues.swap(false, Ordering::Relaxed)
    }
}
