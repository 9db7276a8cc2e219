//! Receivers of a run's records: the interface of the log, the console and every other writer.

use std::io;
use std::path::Path;

use super::TrainError;
use super::agenda::Agenda;
use super::examples::Example;
use super::record::StepRecord;
use super::run_dir::outcome::RunEnd;
use super::session::Session;
use crate::optim::MeasuredGradients;
use crate::parameters::Parameters;

/// How a run ended, unless by an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All updates are made.
    Finished,
    /// It was stopped by this signal; the state is saved.
    Stopped {
        /// The number of the signal.
        signal: usize,
    },
    /// It has ended before its last update, by its metric (`[early_stopping]`); the state is saved.
    EndedEarly {
        /// Why.
        reason: String,
    },
    /// The time of the process was up (`train.max_time`); the state is saved.
    TimeIsUp,
    /// It has come to the step up to which it was to train ([`Run::until`](super::Run::until)); the state is saved.
    StepReached,
}

/// Start of the loop, as reported to sinks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Beginning<'a> {
    /// Number of updates made.
    pub done: u64,
    /// Number of updates with a record. The last one has none yet if its validation is still pending.
    pub recorded: u64,
    /// Number of updates in the run.
    pub total: u64,
    /// The run directory, or its URL.
    pub run: &'a Path,
    /// The validations and saves of the run.
    pub agenda: &'a Agenda,
}

/// The tensors of a step, as reported to sinks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StepTensors<'a> {
    /// The record of the step.
    pub record: &'a StepRecord,
    /// The weights after its update.
    pub weights: &'a Parameters,
    /// Its gradients before clipping, multiplied by [`StepRecord::loss_scale`] if there is one. Absent if the process
    /// that computed them was killed before the validation of the step was made.
    pub gradients: Option<&'a MeasuredGradients>,
}

/// A validation that has been made, as reported to sinks.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Validated<'a> {
    /// The record of its step.
    pub record: &'a StepRecord,
    pub(super) session: &'a Session,
}

impl Validated<'_> {
    /// Predicts the classes of `count` validation rows, always the same ones, evenly spread over all of them. Their images
    /// have at most `side` pixels on a side. It is empty if the rows do not have a class each.
    ///
    /// # Errors
    /// A row cannot be read, or the device fails.
    pub fn examples(&self, count: usize, side: usize) -> Result<Vec<Example>, TrainError> {
        self.session.examples(count, side)
    }

    /// Returns the name of each class; its number for one without a name. It is empty if there are no classes.
    pub fn class_names(&self) -> Vec<String> {
        self.session.class_names()
    }
}

/// Receives the records and events of a run. Every method does nothing by default.
///
/// A sink with a file must produce the file of an uninterrupted run: in [`Sink::begin`] it truncates the records of
/// updates from number [`Beginning::recorded`], which a killed process had made and which will be made again. Only
/// `log.jsonl` is on disk before the checkpoint of its step; after a power cut other files may lack lines before the
/// checkpoint.
pub trait Sink {
    /// Called when the loop begins.
    ///
    /// # Errors
    /// The file of an earlier process cannot be truncated. The run does not begin.
    fn begin(&mut self, _beginning: &Beginning<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Called after a step, including its validation.
    fn record(&mut self, _record: &StepRecord) {}

    /// Whether it wants the tensors of a step: asked after [`Sink::record`] of each.
    fn wants_tensors(&self, _record: &StepRecord) -> bool {
        false
    }

    /// Called with the tensors of a step that it wants. On a GPU they are not in the memory of the host yet.
    fn tensors(&mut self, _tensors: &StepTensors<'_>) {}

    /// Called after [`Sink::record`] of a step with a validation.
    fn validated(&mut self, _validated: &Validated<'_>) {}

    /// Called when a validation begins, after `done` updates.
    fn validating(&mut self, _done: u64) {}

    /// Called when a save begins, after `done` updates; it continues in the background.
    fn saving(&mut self, _done: u64) {}

    /// Called when the checkpoint at `path`, of the state after `done` updates, is complete. One that is written before
    /// [`Sink::begin`] is not reported.
    fn saved(&mut self, _done: u64, _path: &Path) {}

    /// Shows a message to the user.
    fn message(&mut self, _text: &str) {}

    /// Writes buffered data: with each save, and when the loop ends.
    ///
    /// # Errors
    /// It cannot be written. The user gets a message, and training continues.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called when the loop has ended.
    fn end(&mut self) {}

    /// Called last, with how the run ended, when all files of the run are written.
    fn ended(&mut self, _end: &RunEnd) {}
}

impl Sink for () {}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        (**self).begin(beginning)
    }

    fn record(&mut self, record: &StepRecord) {
        (**self).record(record);
    }

    fn wants_tensors(&self, record: &StepRecord) -> bool {
        (**self).wants_tensors(record)
    }

    fn tensors(&mut self, tensors: &StepTensors<'_>) {
        (**self).tensors(tensors);
    }

    fn validated(&mut self, validated: &Validated<'_>) {
        (**self).validated(validated);
    }

    fn validating(&mut self, done: u64) {
        (**self).validating(done);
    }

    fn saving(&mut self, done: u64) {
        (**self).saving(done);
    }

    fn saved(&mut self, done: u64, path: &Path) {
        (**self).saved(done, path);
    }

    fn message(&mut self, text: &str) {
        (**self).message(text);
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn end(&mut self) {
        (**self).end();
    }

    fn ended(&mut self, end: &RunEnd) {
        (**self).ended(end);
    }
}

/// Several sinks as one: each is called, in order.
pub struct Sinks<'a>(pub Vec<&'a mut dyn Sink>);

impl Sinks<'_> {
    fn each(&mut self, tell: impl FnMut(&mut &mut dyn Sink)) {
        self.0.iter_mut().for_each(tell);
    }
}

impl Sink for Sinks<'_> {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        self.0.iter_mut().try_for_each(|sink| sink.begin(beginning))
    }

    fn record(&mut self, record: &StepRecord) {
        self.each(|sink| sink.record(record));
    }

    fn wants_tensors(&self, record: &StepRecord) -> bool {
        self.0.iter().any(|sink| sink.wants_tensors(record))
    }

    fn tensors(&mut self, tensors: &StepTensors<'_>) {
        let wanting = self.0.iter_mut().filter(|sink| sink.wants_tensors(tensors.record));
        wanting.for_each(|sink| sink.tensors(tensors));
    }

    fn validated(&mut self, validated: &Validated<'_>) {
        self.each(|sink| sink.validated(validated));
    }

    fn validating(&mut self, done: u64) {
        self.each(|sink| sink.validating(done));
    }

    fn saving(&mut self, done: u64) {
        self.each(|sink| sink.saving(done));
    }

    fn saved(&mut self, done: u64, path: &Path) {
        self.each(|sink| sink.saved(done, path));
    }

    fn message(&mut self, text: &str) {
        self.each(|sink| sink.message(text));
    }

    /// Flushes all of them; returns the first error.
    fn flush(&mut self) -> io::Result<()> {
        let flushed: Vec<io::Result<()>> = self.0.iter_mut().map(|sink| sink.flush()).collect();
        flushed.into_iter().collect()
    }

    fn end(&mut self) {
        self.each(|sink| sink.end());
    }

    fn ended(&mut self, end: &RunEnd) {
        self.each(|sink| sink.ended(end));
    }
}

/// Has `sink` write out what it holds back. Only the log has to succeed, and that is not among these.
pub(super) fn flush(sink: &mut dyn Sink) {
    if let Err(error) = sink.flush() {
        sink.message(&format!("warning: records of the run cannot be written: {error}; training continues"));
    }
}
