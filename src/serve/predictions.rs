//! Predictions of the newest checkpoints, made when a page asks for them: once for each checkpoint, on one thread that
//! gives way to every other program, and seldom enough that a run that saves often does not notice it.
//!
//! A checkpoint names its data by a path, which may lead anywhere. Rows are shown only if their content is that of the
//! run, by its digest, and errors are not shown, because they may quote other rows.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::oneshot;

use super::runs::Run;
use crate::checkpoint::Folder;
use crate::cpu::workers;
use crate::data::places;
use crate::memory::Size;
use crate::report::page::Predictions;
use crate::threads;
use crate::trained::{Review, Trained};

/// Time for the predictions of a checkpoint after its data is open. The batch in work at its end is the last.
const LONGEST: Duration = Duration::from_secs(2);

/// The predictions of the next checkpoint of a run wait for this many times the time that the last ones took.
const REST: u32 = 20;

/// Number of runs whose predictions are kept.
const KEPT: usize = 32;

/// The largest data that is opened beside a training, in bytes, and the most files in it.
const LARGEST: u64 = 1 << 30;
const MOST_FILES: usize = 100_000;

/// The thread that predicts.
#[derive(Debug)]
pub struct Predictor {
    orders: Sender<Order>,
}

/// A request, answered with JSON.
struct Order {
    run: Run,
    answer: oneshot::Sender<String>,
}

impl Predictor {
    /// Starts the thread. It sleeps until somebody asks.
    pub fn start() -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let refused = |error| threads::cannot_start("that predicts", &error);
        threads::builder("predictions").spawn(move || obey(&received)).map_err(refused)?;
        Ok(Self { orders })
    }

    /// Returns the predictions of the newest checkpoint of `run` as JSON; `None` if the thread has ended.
    pub async fn of(&self, run: Run) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order { run, answer }).ok()?;
        answered.await.ok()
    }
}

/// Answers until nobody can ask any more.
fn obey(orders: &Receiver<Order>) {
    threads::give_way();
    // Rayon's work for this thread stays on this thread.
    let _pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    let mut made = Made::default();
    workers::alone(|| {
        // Who has left needs no answer.
        for Order { run, answer } in orders.iter().filter(|order| !order.answer.is_closed()) {
            drop(answer.send(made.of(&run)));
        }
    });
}

/// A checkpoint, and when it was written.
#[derive(Clone, Debug, PartialEq)]
struct Saved {
    path: PathBuf,
    at: Option<SystemTime>,
}

/// The predictions that were made last, the oldest first.
#[derive(Debug, Default)]
struct Made(VecDeque<Entry>);

/// The predictions of a run.
#[derive(Debug)]
struct Entry {
    run: String,
    of: Saved,
    predictions: Predictions,
    /// When those of another checkpoint may be made.
    next: Instant,
}

/// The predictions as a page gets them.
#[derive(Serialize)]
struct Shown<'a> {
    predictions: &'a Predictions,
    /// Seconds until those of a newer checkpoint may be made, if there is one.
    again_in: Option<f64>,
}

impl Made {
    /// Returns the predictions of the newest checkpoint of `run`, or those of an earlier one if it is too soon.
    fn of(&mut self, run: &Run) -> String {
        let Some(newest) = newest(&run.path) else {
            return shown(&without("there are no predictions yet, because there is no checkpoint".to_owned()), None);
        };
        let known = self.0.iter().find(|entry| entry.run == run.id);
        if let Some(Entry { of, predictions, next, .. }) = known {
            let left = next.saturating_duration_since(Instant::now());
            if *of == newest || !left.is_zero() {
                return shown(predictions, (*of != newest).then_some(left));
            }
        }
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| predict(&run.path))) {
            Ok(Ok(review)) => {
                let predictions = Predictions { review: Some(review), note: None };
                let text = shown(&predictions, None);
                let next = Instant::now() + REST * began.elapsed();
                self.keep(Entry { run: run.id.clone(), of: newest, predictions, next });
                text
            }
            // These are not kept: the next page may have more luck.
            Ok(Err(note)) => shown(&without(note), None),
            Err(_) => shown(&without("there are no predictions: making them has failed".to_owned()), None),
        }
    }

    fn keep(&mut self, entry: Entry) {
        self.0.retain(|other| other.run != entry.run);
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }
}

fn without(note: String) -> Predictions {
    Predictions { review: None, note: Some(note) }
}

fn shown(predictions: &Predictions, again_in: Option<Duration>) -> String {
    let again_in = again_in.map(|left| left.as_secs_f64());
    // All fields can be written as JSON.
    serde_json::to_string(&Shown { predictions, again_in }).unwrap_or_default()
}

/// Returns the newest checkpoint of a run. Its files are not looked at.
fn newest(run: &Path) -> Option<Saved> {
    let (_, path) = Folder::new(run.join("checkpoints")).list().ok()?.pop()?;
    let at = path.metadata().and_then(|found| found.modified()).ok();
    Some(Saved { path, at })
}

/// Predicts rows of the run at `run`, or says why not.
fn predict(run: &Path) -> Result<Review, String> {
    const ELSEWHERE: &str = "`inspect report` makes them";
    let unopened = |_| {
        "there are no predictions: the checkpoint or its data cannot be read, or has changed; `inspect report` says more"
            .to_owned()
    };
    let (trained, _) = Trained::open(run, &[]).map_err(unopened)?;
    if !trained.knows_its_data() {
        return Err(format!("there are no predictions, because the checkpoint does not tell its data; {ELSEWHERE}"));
    }
    if !places(&trained.config().data).iter().all(|path| is_small(path)) {
        let limit = Size(LARGEST);
        return Err(format!("there are no predictions, because the data has more than {limit}; {ELSEWHERE}"));
    }
    trained.review(Instant::now() + LONGEST).map_err(unopened)
}

/// Whether a file, or all files in a folder, can be opened beside a training.
fn is_small(path: &Path) -> bool {
    let (mut bytes, mut files, mut left) = (0, 0, vec![path.to_owned()]);
    while let Some(path) = left.pop() {
        // A missing file is told when it is opened.
        let Ok(found) = path.metadata() else { continue };
        match found.is_dir() {
            true => left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path())),
            false => bytes += found.len(),
        }
        files += 1;
        if bytes > LARGEST || files > MOST_FILES {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_data_is_not_opened_beside_a_training() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.csv");
        fs::write(&file, "1,2\n").unwrap();
        assert!(is_small(&file) && is_small(folder.path()) && is_small(&folder.path().join("none")));
        fs::create_dir(folder.path().join("more")).unwrap();
        // A file with a hole takes no room.
        fs::File::create(folder.path().join("more/large")).unwrap().set_len(LARGEST).unwrap();
        assert!(is_small(&folder.path().join("more")) && !is_small(folder.path()));
    }

    #[test]
    fn predictions_of_many_runs_take_bounded_room() {
        let mut made = Made::default();
        let entry = |run: usize, step: u32| Entry {
            run: run.to_string(),
            of: Saved { path: PathBuf::from(format!("step-{step}")), at: None },
            predictions: without(String::new()),
            next: Instant::now(),
        };
        (0..2 * KEPT).for_each(|run| made.keep(entry(run, 1)));
        made.keep(entry(2 * KEPT - 1, 2));
        assert_eq!(made.0.len(), KEPT);
        assert_eq!(made.0.back().map(|entry| entry.of.path.clone()), Some(PathBuf::from("step-2")));
    }
}
