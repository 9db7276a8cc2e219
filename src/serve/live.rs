//! A run that is looked at: its curves, which grow with its log, and its row. However many browsers look, the log is read
//! once.
//!
//! Each look that finds something new has a number, its version. Whoever has seen a version asks for all since then: so
//! nothing is kept for a slow reader, and one that was away for a while gets what it missed.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;

use super::row::{Row, Watched};
use super::runs::{Catalogue, Run};
use crate::report::follow::{Follower, RawChange};
use crate::report::page::{Curve, Curves};

/// Most buckets of a curve.
pub const BUCKETS: usize = 1024;

/// Number of versions that are remembered. Whoever has seen an older one gets everything.
const REMEMBERED: usize = 512;

/// The part that a reader has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The follower: numbers of versions are its own.
    pub follower: u64,
    /// The version.
    pub version: u64,
}

/// The news of a run. The points of its curves before step `from` are as before, and those after it are these.
#[derive(Debug, Serialize)]
pub struct News {
    /// The identifier of the run.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The first step that has changed; `None` if no point has.
    pub from: Option<u64>,
    /// The points from there on, in the form of the page's own curves.
    pub curves: Vec<Curve>,
    /// Its state and its last numbers.
    pub row: Row,
}

/// A run that is looked at.
#[derive(Debug)]
pub struct Live {
    run: Run,
    catalogue: Arc<Catalogue>,
    follower: u64,
    state: Mutex<State>,
    /// Held while the log is read, which nobody waits for who only asks what is known.
    reader: Mutex<Reader>,
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct Reader {
    follower: Follower,
    /// The curves as far as the log is read.
    curves: Curves,
    /// Whether lines that were told of are gone.
    is_cut: bool,
    watched: Watched,
}

#[derive(Debug)]
struct State {
    version: u64,
    /// The last versions, each with the first step that it changed.
    changes: VecDeque<(u64, Option<u64>)>,
    curves: Curves,
    row: Row,
}

impl Live {
    /// Creates it, before the first look.
    pub fn new(run: Run, catalogue: Arc<Catalogue>) -> Self {
        let follower = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let reader = Reader {
            follower: Follower::new(run.path.join("log.jsonl")),
            curves: Curves::new(BUCKETS),
            is_cut: false,
            watched: Watched::new(run.clone()),
        };
        let state = State {
            version: 0,
            changes: VecDeque::new(),
            curves: Curves::new(BUCKETS),
            row: Row { id: run.id.clone(), name: run.name.clone(), ..Row::default() },
        };
        Self {
            run,
            catalogue,
            follower,
            state: Mutex::new(state),
            reader: Mutex::new(reader),
            version: watch::Sender::new(0),
        }
    }

    /// Whether what was seen was seen of this follower.
    pub fn is(&self, seen: Seen) -> bool {
        seen.follower == self.follower
    }

    /// Returns the run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Tells of new versions. Version 0 is that before the first look.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns the curves and what they are the state of.
    pub fn curves(&self) -> (Curves, Seen) {
        let state = self.state();
        (state.curves.clone(), Seen { follower: self.follower, version: state.version })
    }

    /// Looks at the run, and reads what is new in its log.
    pub fn look(&self) {
        // A file may have become a link since the run was found.
        if let Some(problem) = self.catalogue.link_out(&self.run) {
            return self.publish(None, None, Row::closed(&self.run, problem));
        }
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut row = reader.watched.row();
        let changed = reader.follow().unwrap_or_else(|error| {
            row.problem.get_or_insert_with(|| format!("log.jsonl: {error}"));
            None
        });
        // Outside of the lock: reading may take long, and those who ask do not wait.
        let curves = changed.map(|_| reader.curves.clone());
        self.publish(curves, changed, row);
    }

    fn publish(&self, curves: Option<Curves>, changed: Option<u64>, row: Row) {
        let mut state = self.state();
        if changed.is_none() && row == state.row && state.version > 0 {
            return;
        }
        state.version += 1;
        let version = state.version;
        state.changes.push_back((version, changed));
        if state.changes.len() > REMEMBERED {
            state.changes.pop_front();
        }
        state.row = row;
        if let Some(curves) = curves {
            state.curves = curves;
        }
        drop(state);
        self.version.send_replace(version);
    }

    /// Returns what is new since `seen`; everything if that is not known.
    pub fn since(&self, seen: Option<Seen>) -> (News, Seen) {
        let state = self.state();
        let from = match seen.filter(|seen| seen.follower == self.follower && seen.version <= state.version) {
            Some(seen) => state.changed_since(seen.version),
            None => Some(0),
        };
        let news = News {
            id: self.run.id.clone(),
            name: self.run.name.clone(),
            from,
            curves: from.map(|from| state.curves.curves_from(from)).unwrap_or_default(),
            row: state.row.clone(),
        };
        (news, Seen { follower: self.follower, version: state.version })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the first step that has changed after a version.
    fn changed_since(&self, version: u64) -> Option<u64> {
        match self.changes.front() {
            Some((oldest, _)) if *oldest > version + 1 => Some(0),
            _ => self.changes.iter().filter(|(later, _)| *later > version).filter_map(|(_, from)| *from).min(),
        }
    }
}

impl Reader {
    /// Reads what is new in the log, and returns the first step that has changed.
    ///
    /// A resume cuts the log back. A thinned curve cannot be cut, because its extremes may be among what is gone; so the
    /// log is read again, which takes a second for some million lines.
    fn follow(&mut self) -> io::Result<Option<u64>> {
        loop {
            let mut is_cut = false;
            let has_read = self.follower.poll_with(&mut |change| match change {
                _ if is_cut => {}
                RawChange::Cut(_) => is_cut = true,
                RawChange::Line(fields) => self.curves.take(fields),
            })?;
            if is_cut {
                self.curves = Curves::new(BUCKETS);
                self.follower = Follower::new(self.follower.path());
                self.is_cut = true;
            } else if !has_read {
                let changed = self.curves.take_changed();
                return Ok(if std::mem::take(&mut self.is_cut) { Some(0) } else { changed });
            }
        }
    }
}
