//! A progress bar on the last line of the terminal, if stderr is one.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

/// Free columns at the end of the line, where the terminal writes `^C` when a user presses it. In a full line it would
/// go to the next one, and the line above it could no longer be cleared.
const FREE: u16 = 4;

/// A bar, hidden at first. Clones are the same bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    /// Known without asking the bar, which blocks while another thread uses it.
    is_shown: Arc<AtomicBool>,
}

impl Bar {
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), is_shown: Arc::default() }
    }

    /// Shows it if stderr is a terminal and there is work left: `done` of `total` steps are done. `template` is an
    /// indicatif template with the key `pace`: steps per second and the remaining time, once they are known.
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

    /// Sets the progress and its text.
    pub fn at(&self, done: u64, text: String) {
        self.bar.set_message(text);
        self.bar.set_position(done);
    }

    /// Restarts the measurement of the pace, after a pause without work.
    pub fn forget_pace(&self) {
        self.bar.reset_eta();
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.is_shown.store(false, Ordering::Relaxed);
    }

    /// Writes a line to `out`, hiding the bar meanwhile if `out` is a terminal. A closed reader is not an error.
    pub fn write(&self, mut out: impl Write + IsTerminal, line: &str) {
        let is_in_the_way = self.is_shown() && out.is_terminal();
        // In one piece, so that no line of another process comes in between.
        let line = format!("{line}\n");
        let mut write = || drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
        if is_in_the_way { self.bar.suspend(write) } else { write() }
    }
}

/// The terminal, reported some columns narrower.
#[derive(Debug)]
struct Stderr;

impl Stderr {
    /// Moves the cursor with a sequence of ECMA-48, which every terminal supports.
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
