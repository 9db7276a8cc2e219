//! `inspect watch`: a run in the terminal while another process trains it. Nothing is written, and the training is left
//! alone.
//!
//! `run.rs` reads the run, `series.rs` keeps its numbers, `facts.rs` says where it stands; `draw.rs` and `curves.rs` make
//! a screen of them, `view.rs` has the keys, `terminal.rs` the terminal.

mod curves;
mod draw;
mod error;
mod facts;
mod run;
mod series;
mod terminal;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ratatui::crossterm::event::{Event, KeyEventKind};

pub use self::error::WatchError;
use self::run::WatchedRun;
use self::terminal::{News, Screen, Signals};
use self::view::{View, Wish};
use crate::checkpoint;
use crate::store;
use crate::train::base_of;

/// How often the log is read.
const READ_EVERY: Duration = Duration::from_millis(500);

/// How often the screen is drawn again for the ages on it.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// How long a key is waited for before signals are looked at.
const WAIT: Duration = Duration::from_millis(100);

/// How long a long log is read between two looks at the keys.
const PATIENCE: Duration = Duration::from_millis(60);

/// Shows the run at `path`, or the runs in the folder at `path`, until the user ends it.
///
/// # Errors
/// There is no run, or no terminal.
pub fn watch(path: &Path) -> Result<(), WatchError> {
    let runs = find(path)?;
    if !terminal::is_there() {
        return Err(WatchError::NoTerminal);
    }
    let signals = Signals::listen()?;
    let mut watching = Watching::new(runs);
    let mut screen = Screen::enter()?;
    while !signals.ends() && watching.turn(&mut screen, &signals)? {}
    Ok(())
}

/// The runs, and the one that is shown.
struct Watching {
    runs: Vec<PathBuf>,
    shown: usize,
    run: WatchedRun,
    view: View,
    read: Option<Instant>,
    drawn: Option<Instant>,
}

impl Watching {
    fn new(Found { runs, shown }: Found) -> Self {
        let run = WatchedRun::new(runs.get(shown).map_or(Path::new(""), PathBuf::as_path));
        let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut watching = Self { runs, shown, run, view: View::new(color), read: None, drawn: None };
        watching.number();
        watching
    }

    fn number(&mut self) {
        self.view.tab = (self.runs.len() > 1).then_some((self.shown + 1, self.runs.len()));
    }

    /// Reads, draws and waits for a key. Returns whether to go on.
    fn turn(&mut self, screen: &mut Screen, signals: &Signals) -> Result<bool, WatchError> {
        if self.read.is_none_or(|read| read.elapsed() >= READ_EVERY) {
            let began = Instant::now();
            let mut has_more = self.run.look();
            while has_more && began.elapsed() < PATIENCE {
                has_more = self.run.look();
            }
            self.read = (!has_more).then(Instant::now);
            self.drawn = None;
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY) {
            screen.terminal.draw(|frame| draw::draw(frame, &self.run, &self.view))?;
            self.drawn = Some(Instant::now());
        }
        let wait = if self.read.is_none() { Duration::ZERO } else { WAIT };
        let wish = match terminal::news(wait)? {
            News::Event(event) => self.answer(&event),
            News::Nothing => Wish::Nothing,
            News::Gone => Wish::End,
        };
        match wish {
            Wish::End => return Ok(false),
            Wish::Suspend => self.suspend(screen, signals)?,
            Wish::Redraw => screen.again()?,
            Wish::Next => self.show(1),
            Wish::Previous => self.show(self.runs.len().saturating_sub(1)),
            Wish::Nothing => {}
        }
        if signals.suspends() {
            self.suspend(screen, signals)?;
        }
        if signals.continues() {
            screen.again()?;
            self.drawn = None;
        }
        Ok(true)
    }

    fn answer(&mut self, event: &Event) -> Wish {
        self.drawn = None;
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.view.key(*key, self.run.facts.made()),
            _ => Wish::Nothing,
        }
    }

    fn suspend(&mut self, screen: &mut Screen, signals: &Signals) -> Result<(), WatchError> {
        screen.suspend()?;
        // It has continued, which is no news.
        signals.continues();
        self.drawn = None;
        Ok(())
    }

    /// Shows the run that is `by` places further.
    fn show(&mut self, by: usize) {
        self.shown = (self.shown + by) % self.runs.len().max(1);
        if let Some(path) = self.runs.get(self.shown).filter(|_| self.runs.len() > 1) {
            self.run = WatchedRun::new(path);
            self.read = None;
        }
        self.number();
    }
}

/// The runs at a path, and the position of the one to show first.
#[derive(Debug)]
struct Found {
    runs: Vec<PathBuf>,
    shown: usize,
}

/// Finds the run at `path`, which may also be its log, its folder of checkpoints or one of these; or the runs in the
/// folder at `path`.
fn find(path: &Path) -> Result<Found, WatchError> {
    if store::is_url(path) {
        return Err(WatchError::Url { path: path.to_owned() });
    }
    if !path.exists() {
        return Err(WatchError::Missing { path: path.to_owned() });
    }
    let parent = path.parent().map(Path::to_owned);
    let inside = match path.file_name().and_then(|name| name.to_str()) {
        _ if is_run(path) => Some(path.to_owned()),
        Some("log.jsonl" | "config.toml" | "checkpoints") => parent,
        _ if checkpoint::step_of(path).is_some() => Some(base_of(path)),
        _ => None,
    };
    if let Some(run) = inside.filter(|run| is_run(run)) {
        return Ok(Found { runs: vec![run], shown: 0 });
    }
    let entries = fs::read_dir(path).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut runs: Vec<PathBuf> = entries.into_iter().flatten().filter(|path| is_run(path)).collect();
    runs.sort();
    // The one that was written last is probably the one that trains.
    let newest = (0..runs.len()).max_by_key(|at| written(&runs[*at]));
    newest.map(|shown| Found { runs, shown }).ok_or_else(|| WatchError::NoRun { path: path.to_owned() })
}

/// Whether a directory holds a run, or one that has just begun.
fn is_run(path: &Path) -> bool {
    let has = |name: &str| path.join(name).exists();
    has("log.jsonl") || has("checkpoints") || (has("config.toml") && has("lock"))
}

fn written(run: &Path) -> SystemTime {
    let time = fs::metadata(run.join("log.jsonl")).and_then(|found| found.modified());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_any_of_its_parts_and_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("one");
        fs::create_dir_all(run.join("checkpoints/step-0000000003")).unwrap();
        fs::write(run.join("log.jsonl"), "").unwrap();
        let other = folder.path().join("other");
        fs::create_dir_all(other.join("checkpoints")).unwrap();
        for part in ["", "log.jsonl", "checkpoints", "checkpoints/step-0000000003"] {
            assert_eq!(find(&run.join(part)).unwrap().runs, [run.as_path()], "{part}");
        }
        let found = find(folder.path()).unwrap();
        assert_eq!((found.runs.len(), found.shown), (2, 0));
    }

    #[test]
    fn what_is_no_run_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| find(path).unwrap_err().to_string();
        assert!(told(folder.path()).contains("inspect DIR"));
        assert!(told(&folder.path().join("none")).contains("does not exist"));
        assert!(told(Path::new("s3://bucket/run")).contains("only runs on a local disk"));
    }
}
