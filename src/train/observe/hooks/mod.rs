//! Hooks: the commands of `[hooks]`, which are started when something happens in the run.
//!
//! `event.rs` has the JSON that a command gets, `command.rs` runs one within its limits, and `worker.rs` is the thread
//! that does so, one after the other. A hook can be slow, fail or hang: training does not wait for it, and computes the
//! same bits.

mod command;
mod event;
mod worker;

use std::path::Path;

use self::event::Event;
use self::worker::Worker;
use crate::train::TrainError;
use crate::train::config::HooksConfig;
use crate::train::metrics::TestFigures;
use crate::train::record::StepRecord;
use crate::train::run_dir::outcome::{Ending, RunEnd};
use crate::train::session::Session;
use crate::train::sink::{Beginning, Sink};

/// The sink that starts the commands.
pub(in crate::train) struct Hooks {
    config: HooksConfig,
    event: Event,
    /// The figures of the test rows, once they are known.
    test: Option<TestFigures>,
    /// Absent after the end, and if the system refuses a thread.
    worker: Option<Worker>,
}

impl Hooks {
    /// Returns it if the configuration of the run at `run` has commands.
    pub fn configured(session: &Session, run: &Path) -> Option<Box<dyn Sink>> {
        let config = session.config().hooks.clone();
        if config.is_empty() {
            return None;
        }
        let worker = match Worker::start(config.timeout.0) {
            Ok(worker) => Some(worker),
            Err(error) => {
                tracing::warn!("the hooks are left out: {error}");
                None
            }
        };
        Some(Box::new(Self { event: Event::of(run, session.total_steps()), config, test: None, worker }))
    }

    fn start(&self, words: Option<&Vec<String>>, key: &'static str, input: impl FnOnce(&Event) -> String) {
        if let (Some(worker), Some(words)) = (&self.worker, words) {
            worker.start_soon(key, words.clone(), input(&self.event));
        }
    }
}

impl Sink for Hooks {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        self.start(self.config.on_start.as_ref(), "on_start", |event| event.start(beginning.done));
        Ok(())
    }

    fn record(&mut self, record: &StepRecord) {
        self.test = record.test.clone();
        if record.validation.is_some() {
            self.start(self.config.on_validation.as_ref(), "on_validation", |event| event.validation(record));
        }
    }

    fn saved(&mut self, done: u64, path: &Path) {
        self.start(self.config.on_checkpoint.as_ref(), "on_checkpoint", |event| event.checkpoint(done, path));
    }

    fn ended(&mut self, end: &RunEnd) {
        let (key, words) = match end.outcome {
            Ending::Failed => ("on_failure", &self.config.on_failure),
            Ending::Finished | Ending::Stopped => ("on_end", &self.config.on_end),
        };
        let last = words.clone().map(|words| (key, words, self.event.end(end, self.test.as_ref())));
        if let Some(worker) = self.worker.take() {
            worker.finish(last);
        }
    }
}
