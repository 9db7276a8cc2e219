//! Where the records of a run go: the interface of the log, the console and every other writer.

use std::io;
use std::path::Path;

use super::TrainError;
use super::record::StepRecord;

/// How a run ended, other than by an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All updates are made.
    Finished,
    /// It was asked to stop by this signal; the state is saved.
    Stopped {
        /// The number of the signal.
        signal: usize,
    },
}

/// Where the loop begins, as a sink is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Beginning<'a> {
    /// How many updates are made.
    pub done: u64,
    /// How many of them have a record. The last one has none yet where the validation after it is still to be made.
    pub recorded: u64,
    /// How many updates the run has.
    pub total: u64,
    /// The run directory, or its URL.
    pub run: &'a Path,
}

/// Takes the records of a run, and is told what happens between them. Every method does nothing by default.
///
/// A sink that writes a file makes it the file of an uninterrupted run: in [`Sink::begin`] it cuts off the records of
/// updates from number [`Beginning::recorded`] on, which a killed process had made and which will be made again.
/// Only `log.jsonl` is on the disk before a checkpoint of its step is; a sink that lags behind its checkpoint lacks
/// those lines after a power cut.
pub trait Sink {
    /// The loop begins.
    ///
    /// # Errors
    /// When what an earlier process wrote cannot be cut back. The run does not begin.
    fn begin(&mut self, _beginning: &Beginning<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// A step is done, its validation included.
    fn record(&mut self, _record: &StepRecord) {}

    /// A validation begins, after `done` updates.
    fn validating(&mut self, _done: u64) {}

    /// A save begins, after `done` updates; it continues beside those that follow.
    fn saving(&mut self, _done: u64) {}

    /// A message for a person.
    fn message(&mut self, _text: &str) {}

    /// Writes out what is held back: with each save, and when the loop ends.
    ///
    /// # Errors
    /// When it cannot be written. A person is told, and training continues.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The loop has ended.
    fn end(&mut self) {}
}

impl Sink for () {}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        (**self).begin(beginning)
    }

    fn record(&mut self, record: &StepRecord) {
        (**self).record(record);
    }

    fn validating(&mut self, done: u64) {
        (**self).validating(done);
    }

    fn saving(&mut self, done: u64) {
        (**self).saving(done);
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
}

/// Several sinks as one: each is told everything, in their order.
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

    fn validating(&mut self, done: u64) {
        self.each(|sink| sink.validating(done));
    }

    fn saving(&mut self, done: u64) {
        self.each(|sink| sink.saving(done));
    }

    fn message(&mut self, text: &str) {
        self.each(|sink| sink.message(text));
    }

    /// Flushes all of them; the first error is returned.
    fn flush(&mut self) -> io::Result<()> {
        let flushed: Vec<io::Result<()>> = self.0.iter_mut().map(|sink| sink.flush()).collect();
        flushed.into_iter().collect()
    }

    fn end(&mut self) {
        self.each(|sink| sink.end());
    }
}

/// Has `sink` write out what it holds back. Only the log has to succeed, and that is not among these.
pub(super) fn flush(sink: &mut dyn Sink) {
    if let Err(error) = sink.flush() {
        sink.message(&format!("warning: records of the run cannot be written: {error}; training continues"));
    }
}
