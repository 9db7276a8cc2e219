//! A progress bar on the last line of the terminal, if stderr is one.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

/// Free columns at the end of the line, where the terminal writes `^C` when a user presses it. In a full line it would
/// go to the next one, and the line above it could no longer be cleared.
const FREE: u16 = 4;

/// A validation is shown if it takes longer than this.
const LONG: Duration = Duration::from_secs(1);

/// A bar, hidden at first. Clones are the same bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    /// Known without asking the bar, which blocks while another thread uses it.
    is_shown: Arc<AtomicBool>,
    /// When the current validation began.
    validating: Arc<Mutex<Option<Instant>>>,
}

impl Bar {
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), is_shown: Arc::default(), validating: Arc::default() }
    }

    /// Shows it if there is work left: `done` of `total` steps are done. `template` is an indicatif template with the key
    /// `doing`, which tells of a long validation.
    pub fn show(&self, template: &str, done: u64, total: u64) {
        if done >= total {
            return;
        }
        let validating = self.validating.clone();
        let doing = move |_: &ProgressState, text: &mut dyn fmt::Write| {
            let began = *validating.lock().unwrap_or_else(PoisonError::into_inner);
            if began.is_some_and(|began| began.elapsed() >= LONG) {
                let _ = text.write_str("validating | ");
            }
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_style(style.with_key("doing", doing));
        self.bar.reset_elapsed();
        self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(Stderr::default()), 10));
        self.bar.enable_steady_tick(Duration::from_millis(500));
        self.is_shown.store(true, Ordering::Relaxed);
    }

    /// Notes that a validation begins or ends.
    pub fn is_validating(&self, is_validating: bool) {
        let began = is_validating.then(Instant::now);
        *self.validating.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }

    pub fn is_shown(&self) -> bool {
        self.is_shown.load(Ordering::Relaxed)
    }

    /// Sets the progress and its text.
    pub fn at(&self, done: u64, text: String) {
        self.bar.set_message(text);
        self.bar.set_position(done);
    }

    /// Sets the progress of the template `step {pos}/{len} {bar:6} {doing}{wide_msg}`, and as many `parts` as fit into
    /// the line, so that no number is cut.
    pub fn fit(&self, done: u64, parts: &[String]) {
        let total = self.bar.length().unwrap_or_default();
        let taken = format!("step {done}/{total} ").chars().count() + 7;
        let room = usize::from(width()).saturating_sub(taken);
        self.at(done, fitting(parts, room));
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

/// Returns the first of `parts` that fit into `room` columns.
fn fitting(parts: &[String], room: usize) -> String {
    let fits = |count: &usize| parts[..*count].join(" | ").chars().count() <= room;
    let count = (1..=parts.len()).rev().find(fits).unwrap_or_default();
    parts[..count].join(" | ")
}

/// The terminal, reported some columns narrower.
#[derive(Debug, Default)]
struct Stderr {
    /// Number of characters since the beginning of the line.
    written: AtomicUsize,
}

impl Stderr {
    /// Moves the cursor with a sequence of ECMA-48, which every terminal supports.
    fn control(&self, count: usize, code: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { write!(io::stderr(), "\x1b[{count}{code}") }
    }
}

/// Returns the columns of the terminal.
fn columns() -> u16 {
    const USUAL: u16 = 80;
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map(|size| size.ws_col);
    columns.ok().filter(|&columns| columns > 0).unwrap_or(USUAL)
}

/// Returns the columns that the bar uses.
fn width() -> u16 {
    columns().saturating_sub(FREE).max(1)
}

/// Returns the number of rows that a line of this many characters has above its last one, after the terminal became
/// narrower.
fn rows_above(written: usize, columns: usize) -> usize {
    written.saturating_sub(1) / columns.max(1)
}

/// Whether the terminal breaks its lines again when its width changes, as most do, and not xterm, rxvt, the console of
/// Linux, and screen. They cut a line, so the row above it is another one, which has to stay.
fn breaks_lines_again() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    let kind = std::env::var("TERM").unwrap_or_default();
    is_set("TMUX") || !(is_set("XTERM_VERSION") || is_set("STY") || kind.starts_with("rxvt") || kind == "linux")
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        width()
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
        self.written.fetch_add(text.chars().count(), Ordering::Relaxed);
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        let written = self.written.swap(0, Ordering::Relaxed);
        let above = if breaks_lines_again() { rows_above(written, columns().into()) } else { 0 };
        write!(io::stderr(), "\r\x1b[2K{}", "\x1b[A\x1b[2K".repeat(above))
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_a_narrower_terminal_has_more_rows() {
        let rows = [(0, 80), (76, 80), (76, 76), (76, 40), (76, 25), (5, 0)];
        assert_eq!(rows.map(|(written, columns)| rows_above(written, columns)), [0, 0, 0, 1, 3, 4]);
    }

    #[test]
    fn a_narrow_line_has_fewer_parts_and_no_cut_numbers() {
        let parts = ["5 min left", "loss=0.1234", "lr=0.010000"].map(str::to_owned);
        let shown = |room| fitting(&parts, room);
        assert_eq!(shown(80), "5 min left | loss=0.1234 | lr=0.010000");
        assert_eq!(shown(24), "5 min left | loss=0.1234");
        assert_eq!([shown(23), shown(10), shown(3)], ["5 min left", "5 min left", ""]);
        assert_eq!(fitting(&[], 10), "");
    }
}
