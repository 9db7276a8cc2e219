//! Event files of TensorBoard, in the run directory: `log.tensorboard`.
//!
//! `events.rs` has the messages, which `src/protobuf.rs` encodes, `sheet.rs` a picture of predicted images, `records.rs` the
//! framing of a file, `files.rs` the files of earlier processes, and `writer.rs` that of this one. After kills and resumes
//! each step is there once, for every reader: the old files are cut back to the checkpoint, and steps that they lack are
//! added from `log.jsonl`.

mod events;
mod files;
mod histogram;
mod records;
#[cfg(feature = "charts")]
mod sheet;
mod writer;

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use self::writer::{Writer, now};
use crate::store;
use crate::train::TrainError;
use crate::train::config::Config;
use crate::train::record::StepRecord;
use crate::train::session::Session;
use crate::train::sink::{Beginning, Sink, StepTensors, Validated};

/// Writes the event file of this process. After a failure it writes nothing more: the next process of the run adds what
/// is missing.
#[derive(Debug)]
pub(super) struct TensorBoard {
    state: State,
    /// The configuration as TOML.
    config: String,
    hyperparameters: Vec<(String, Value)>,
    /// The interval of histograms in steps.
    histograms: Option<u64>,
    /// The number of images at each validation.
    images: usize,
    /// Why there are no more images, until the next flush reports it.
    imageless: Option<io::Error>,
    /// Number of updates made, and in the whole run.
    done: u64,
    total: u64,
}

#[derive(Debug)]
enum State {
    /// Before the run begins.
    Waiting,
    Writing(Writer),
    /// Left out after an error, which the next flush reports.
    Failed(Option<io::Error>),
}

impl TensorBoard {
    /// Returns it if the configuration of the run at `run` asks for it.
    pub fn configured(session: &Session, run: &Path) -> Option<Box<dyn Sink>> {
        let config = session.config();
        if !config.log.tensorboard {
            return None;
        }
        let every = config.log.histograms.and_then(|every| every.in_steps(session.steps_per_epoch()));
        let written = config.relative_to(run);
        Some(Box::new(Self {
            state: State::Waiting,
            config: written.to_complete_toml().unwrap_or_default(),
            hyperparameters: hyperparameters(&written),
            histograms: every.filter(|&every| every > 0),
            images: if session.validates_on_images() { config.log.images() } else { 0 },
            imageless: None,
            done: 0,
            total: 0,
        }))
    }

    /// Writes predictions for images of the validation rows.
    #[cfg(feature = "charts")]
    fn add_images(&mut self, validated: &Validated<'_>) -> io::Result<()> {
        let examples = validated.examples(self.images, sheet::SIDE).map_err(io::Error::other)?;
        if let Some(sheet) = sheet::Sheet::of(&examples, &validated.class_names())? {
            let image = events::image("predictions", [sheet.width, sheet.height], &sheet.png);
            self.write(|writer| writer.values(validated.record.step, &[image]));
        }
        Ok(())
    }

    /// Without the feature `charts` nothing can be drawn.
    #[cfg(not(feature = "charts"))]
    fn add_images(&mut self, _validated: &Validated<'_>) -> io::Result<()> {
        Ok(())
    }

    fn begun(&self, beginning: &Beginning<'_>) -> io::Result<Writer> {
        if store::is_url(beginning.run) {
            return Err(io::Error::other(
                "an object store cannot append to a file; remove `log.tensorboard`, or train in a local directory",
            ));
        }
        let mut writer = Writer::begin(beginning)?;
        // Four spaces make it code in Markdown.
        let markdown: String = self.config.lines().map(|line| format!("    {line}\n")).collect();
        let described = [events::text("config", &markdown), events::hyperparameters(now(), &self.hyperparameters)];
        writer.describe(beginning.recorded, &described)?;
        Ok(writer)
    }

    /// Lets the writer work, unless it has failed before.
    fn write(&mut self, work: impl FnOnce(&mut Writer) -> io::Result<()>) {
        if let State::Writing(writer) = &mut self.state
            && let Err(error) = work(writer)
        {
            self.state = State::Failed(Some(error));
        }
    }
}

impl Sink for TensorBoard {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        (self.done, self.total) = (beginning.done, beginning.total);
        self.state = match self.begun(beginning) {
            Ok(writer) => State::Writing(writer),
            Err(error) => State::Failed(Some(error)),
        };
        Ok(())
    }

    fn record(&mut self, record: &StepRecord) {
        self.done = record.done();
        self.write(|writer| writer.record(record));
    }

    fn wants_tensors(&self, record: &StepRecord) -> bool {
        let is_due = self.histograms.is_some_and(|every| record.done().is_multiple_of(every));
        is_due && matches!(self.state, State::Writing(_))
    }

    fn tensors(&mut self, tensors: &StepTensors<'_>) {
        self.write(|writer| writer.tensors(tensors));
    }

    /// Nothing is predicted for a file that is not written.
    fn validated(&mut self, validated: &Validated<'_>) {
        if self.images > 0
            && matches!(self.state, State::Writing(_))
            && let Err(error) = self.add_images(validated)
        {
            (self.images, self.imageless) = (0, Some(error));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write(Writer::write_out);
        if let Some(error) = self.imageless.take() {
            let told = format!("TensorBoard gets no more images of this run: {error}");
            return Err(io::Error::new(error.kind(), told));
        }
        let State::Failed(error) = &mut self.state else { return Ok(()) };
        let Some(error) = error.take() else { return Ok(()) };
        let told = format!("TensorBoard gets no more of this run, until a resume adds what is missing: {error}");
        Err(io::Error::new(error.kind(), told))
    }

    fn end(&mut self) {
        if self.done >= self.total {
            let done = self.done;
            self.write(|writer| writer.describe(done, &[events::finished(now())]));
        }
    }
}

/// Returns the settings of a configuration by their dotted keys, except those that change no bit.
fn hyperparameters(config: &Config) -> Vec<(String, Value)> {
    let mut whole = json!(config.complete());
    for (key, schedule) in config.schedules() {
        whole[key] = schedule.to_string().into();
    }
    let mut found = Vec::new();
    for (key, value) in whole.as_object().into_iter().flatten() {
        if !["log", "hooks", "checkpoint", "distributed"].contains(&key.as_str()) {
            collect(key.clone(), value, &mut found);
        }
    }
    found
}

fn collect(key: String, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) => {
            let inner = |(name, value): (&String, &Value)| collect(format!("{key}.{name}"), value, found);
            Map::iter(table).for_each(inner);
        }
        Value::Null => {}
        value => found.push((key, value.clone())),
    }
}
