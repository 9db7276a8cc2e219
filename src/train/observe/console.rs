//! Display of a run on a terminal: results on stdout, progress and messages on stderr.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::bar::Bar;
use super::control::Answer;
use super::heartbeat::Heartbeat;
use super::lines::{Lines, some_rates};
use super::pauses::Pauses;
use super::remaining::Remaining;
use crate::figures;
use crate::train::TrainError;
use crate::train::record::StepRecord;
use crate::train::sink::{Beginning, Sink};

/// Displays a run: a line per epoch and validation on stdout, and on stderr a bar if that is a terminal, otherwise a
/// line from time to time.
#[derive(Debug)]
pub struct Console {
    bar: Bar,
    shown: Shown,
    /// Whether an error was shown. The messages after it belong to it.
    has_failed: bool,
    /// Present while a run is displayed.
    pauses: Option<Pauses>,
    /// Present while the progress of a run is displayed.
    view: Option<View>,
    /// How long the process was suspended during earlier displays of runs.
    paused: Duration,
}

/// The shown part of all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    All,
    /// All but progress and results.
    Messages,
    /// Errors, warnings and answers to signals.
    Warnings,
}

impl Shown {
    fn message(self, text: &str) -> bool {
        self != Self::Warnings || text.starts_with("warning: ") || text.starts_with("error: ")
    }
}

/// Progress of a run.
#[derive(Debug)]
struct View {
    began: Instant,
    total: u64,
    lines: Lines,
    remaining: Remaining,
    /// Used without a bar.
    heartbeat: Option<Heartbeat>,
    /// When the text of the bar was last changed.
    drawn: Duration,
}

/// Minimal time between two changes of the bar's text: more could not be read, and would take time from training.
const REDRAW: Duration = Duration::from_millis(100);

impl Console {
    /// Creates a console with a bar if stderr is a terminal.
    pub fn new() -> Self {
        let (bar, shown, paused) = (Bar::hidden(), Shown::All, Duration::ZERO);
        Self { bar, shown, has_failed: false, pauses: None, view: None, paused }
    }

    /// Shows messages only, no progress and no results: stdout is for another writer.
    pub fn messages_only(self) -> Self {
        Self { shown: Shown::Messages, ..self }
    }

    /// Shows only errors, warnings and answers to signals.
    pub fn quiet(self) -> Self {
        Self { shown: Shown::Warnings, ..self }
    }

    /// Whether it shows more than messages.
    pub fn shows_progress(&self) -> bool {
        self.shown == Shown::All
    }

    /// Returns a function that shows answers to signals like [`Sink::message`], from any thread. The last answer
    /// removes the bar.
    pub fn voice(&self) -> impl Fn(Answer<'_>) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |answer| {
            let (Answer::InOrder(text) | Answer::Last(text)) = answer;
            if matches!(answer, Answer::Last(_)) {
                bar.clear();
            }
            bar.write(io::stderr(), text);
        }
    }

    /// Returns a function that shows lines like [`Sink::message`], from any thread.
    pub fn lines(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let (bar, shown) = (self.bar.clone(), self.shown);
        move |text| {
            if shown.message(text) {
                bar.write(io::stderr(), text);
            }
        }
    }

    /// Starts counting to `total`, on a separate bar if stderr is a terminal.
    pub fn count(&mut self, what: &str, total: u64) {
        if io::stderr().is_terminal() {
            self.bar.show(&format!("{what} {{pos}}/{{len}} {{bar:12}} {{wide_msg}} {{elapsed_precise}}"), 0, total);
        }
    }

    /// Returns how long the process was suspended, for example by Ctrl-Z, while it displayed runs; no training happened
    /// in this time.
    pub fn paused(&self) -> Duration {
        self.paused + self.pauses.as_ref().map_or(Duration::ZERO, Pauses::total)
    }

    /// Sets the count and its text.
    pub fn at(&mut self, done: u64, text: &str) {
        if self.bar.is_shown() {
            self.bar.at(done, text.to_owned());
        }
    }

    /// Removes the bar.
    pub fn clear(&mut self) {
        self.bar.clear();
    }

    /// Shows the progress after a record.
    fn show(&mut self, record: &StepRecord) {
        let (Some(view), Some(pauses)) = (&mut self.view, &self.pauses) else { return };
        let (done, now) = (record.done(), view.now(pauses));
        view.remaining.record(done, now);
        if let Some(speed) = view.heartbeat.as_mut().and_then(|heartbeat| heartbeat.speed_when_due(done, now)) {
            let text = format!("step {done}/{} | {}", view.total, view.parts(record, Some(speed)).join(" | "));
            self.bar.write(io::stderr(), &text);
        }
        if self.bar.is_shown() {
            self.bar.is_validating(false);
            if view.heartbeat.is_none() && now.saturating_sub(view.drawn) >= REDRAW {
                view.drawn = now;
                self.bar.fit(done, &view.parts(record, view.remaining.speed()));
            }
        }
        // The size of the terminal is asked for only where a line is shown.
        if Lines::shows(record)
            && let Some(line) = view.lines.of(record, columns_of_stdout())
        {
            self.bar.write(io::stdout(), &line);
        }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl View {
    /// Returns the time since the beginning, without pauses.
    fn now(&self, pauses: &Pauses) -> Duration {
        self.began.elapsed().saturating_sub(pauses.total())
    }

    /// Returns the parts of a progress line, the most important ones first.
    fn parts(&self, record: &StepRecord, speed: Option<f64>) -> Vec<String> {
        let left = self.remaining.left().map(|left| format!("{} left", figures::span(left.as_secs_f64())));
        let speed = speed.map(|speed| format!("{} steps/s", figures::speed(speed)));
        let (loss, lr) = (figures::loss(record.loss), some_rates(&record.lr));
        left.into_iter().chain([format!("loss={loss}"), format!("lr={lr}")]).chain(speed).collect()
    }
}

/// The message is cut if the line is too long.
const TEMPLATE: &str = "step {pos}/{len} {bar:6} {doing}{wide_msg}";

impl Sink for Console {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        self.pauses = Some(Pauses::watch());
        if self.shown != Shown::All {
            return Ok(());
        }
        let &Beginning { done, recorded, total, run, agenda } = beginning;
        let has_bar = io::stderr().is_terminal() && !is_pipe(&io::stdout());
        if has_bar {
            self.bar.show(TEMPLATE, done, total);
        }
        self.view = Some(View {
            began: Instant::now(),
            total,
            lines: Lines::new(agenda, run, recorded),
            remaining: Remaining::new(*agenda, done),
            heartbeat: (!has_bar).then(|| Heartbeat::new(done)),
            drawn: Duration::ZERO,
        });
        Ok(())
    }

    fn record(&mut self, record: &StepRecord) {
        self.show(record);
    }

    fn validating(&mut self, _done: u64) {
        let (Some(view), Some(pauses)) = (&mut self.view, &self.pauses) else { return };
        let now = view.now(pauses);
        view.remaining.validating(now);
        self.bar.is_validating(true);
    }

    fn saving(&mut self, _done: u64) {
        let (Some(view), Some(pauses)) = (&mut self.view, &self.pauses) else { return };
        let now = view.now(pauses);
        view.remaining.saving(now);
    }

    fn message(&mut self, text: &str) {
        self.has_failed |= text.starts_with("error: ");
        if self.has_failed || self.shown.message(text) {
            self.bar.write(io::stderr(), text);
        }
    }

    fn end(&mut self) {
        self.paused = self.paused();
        (self.pauses, self.view) = (None, None);
        self.clear();
    }
}

/// Returns the columns of stdout if it is a terminal; they change with its size.
fn columns_of_stdout() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Whether `out` is a pipe. Its reader may write to the same terminal, where lines would land in the bar.
fn is_pipe(out: &impl std::os::fd::AsFd) -> bool {
    use std::os::unix::fs::FileTypeExt;

    let copy = out.as_fd().try_clone_to_owned();
    let metadata = copy.and_then(|copy| std::fs::File::from(copy).metadata());
    metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
}
