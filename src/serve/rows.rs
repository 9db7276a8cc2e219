//! The rows of all runs, made at most once in a second however many browsers ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::row::{Row, Watched};
use super::runs::Catalogue;

/// How long rows count.
const FRESH: Duration = Duration::from_secs(1);

/// Makes the rows.
#[derive(Debug)]
pub struct Rows {
    catalogue: Arc<Catalogue>,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    at: Option<Instant>,
    watched: HashMap<String, Watched>,
    rows: Arc<Vec<Row>>,
}

impl Rows {
    /// Makes the rows of the runs in `catalogue`.
    pub fn of(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, made: Mutex::default() }
    }

    /// Returns the rows by name, and whether there are more runs than are listed.
    pub fn all(&self) -> (Arc<Vec<Row>>, bool) {
        let found = self.catalogue.runs();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.at.is_none_or(|at| at.elapsed() > FRESH) {
            made.watched.retain(|id, _| found.runs.contains_key(id));
            let mut rows = Vec::with_capacity(found.runs.len());
            for (id, run) in &found.runs {
                rows.push(match self.catalogue.link_out(run) {
                    Some(problem) => Row::closed(run, problem),
                    None => made.watched.entry(id.clone()).or_insert_with(|| Watched::new(run.clone())).row(),
                });
            }
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            (made.rows, made.at) = (Arc::new(rows), Some(Instant::now()));
        }
        (Arc::clone(&made.rows), found.is_cut)
    }
}
