//! A progress bar on a separate line of the terminal, where stderr is one.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

/// Columns that are left free at the end of the line: there the terminal writes `^C` when somebody presses it. In a
/// full line it would go to the next one, and the line above it could not be cleared any more.
const FREE: u16 = 4;

/// A bar, which is not shown at first. Clones are the same bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    /// Known without asking the bar, which does not answer while somebody else uses it.
    is_shown: Arc<AtomicBool>,
}

impl Bar {
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), is_shown: Arc::default() }
    }

    /// Shows it where stderr is a terminal, and there is something left to do: `done` of `total` are done. `template`
    /// is one of indicatif, with the key `pace`: steps per second and the time left, once something is known of them.
    pub fn show(&self, template: &str, done: u64, total: u64) {
        if !io::stderr().is_terminal() || done >= total {
            return;
        }
        let pace = move |state: &ProgressState, text: &mut dyn fmt::Write| {
            let speed = state.per_sec();
            if state.pos() > done && speed > 0.0 {
                let digits = if speed < 10.0 { 2 } else { 0 };
                let _ = write!(text, " | {speed:.digits$} steps/s | {:#} left", HumanDuration(state.eta()));
            }
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_style(style.with_key("pace", pace));
        self.bar.reset_elapsed();
        self.bar.reset_eta();
        self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(Stderr), 10));
        self.bar.enable_steady_tick(Duration::from_millis(500));
        self.is_shown.store(true, Ordering::Relaxed);
    }

    pub fn is_shown(&self) -> bool {
        self.is_shown.load(Ordering::Relaxed)
    }

    /// How much is done, and what to say of it.
    pub fn at(&self, done: u64, text: String) {
        self.bar.set_message(text);
        self.bar.set_position(done);
    }

    /// Measures the pace from now on, after a pause in which nothing was done.
    pub fn forget_pace(&self) {
        self.bar.reset_eta();
    }

    /// Takes it away for good.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.is_shown.store(false, Ordering::Relaxed);
    }

    /// Writes a line to `out`, with the bar out of the way if `out` is a terminal. A reader that has gone away is
    /// nobody to be told.
    pub fn write(&self, mut out: impl Write + IsTerminal, line: &str) {
        let is_in_the_way = self.is_shown() && out.is_terminal();
        let mut write = || drop(writeln!(out, "{line}"));
        if is_in_the_way { self.bar.suspend(write) } else { write() }
    }
}

/// The terminal, some columns narrower than it is.
#[derive(Debug)]
struct Stderr;

impl Stderr {
    /// Moves the cursor with one of the sequences of ECMA-48, which every terminal knows.
    fn control(&self, count: usize, code: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { write!(io::stderr(), "\x1b[{count}{code}") }
    }
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        const USUAL: u16 = 80;
        let columns = rustix::termios::tcgetwinsize(io::stderr()).map(|size| size.ws_col);
        columns.ok().filter(|&columns| columns > 0).unwrap_or(USUAL).saturating_sub(FREE).max(1)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.control(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.control(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.control(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.control(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{text}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        write!(io::stderr(), "\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
