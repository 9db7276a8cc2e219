//! The records of a run as JSON lines, for programs.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::train::record::StepRecord;
use crate::train::sink::Sink;

/// The records that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Records {
    /// That of each step, as in `log.jsonl`.
    Steps,
    /// Those of the last step of each epoch, with the mean loss over it as `epoch_loss`, and of steps with a validation.
    Epochs,
}

/// Writes records as they come, each as a line. Lines of steps that follow each other within 50 ms are written
/// together, and all before a validation, a save and the end. A reader that closes the pipe is no error; any other error
/// ends the writing and is reported once.
#[derive(Debug)]
pub struct JsonLines<W: Write> {
    /// Absent after an error.
    out: Option<W>,
    records: Records,
    /// Lines that are not written yet, and when others were.
    pending: Vec<u8>,
    written: Option<Instant>,
    held: Duration,
    error: Option<io::Error>,
}

/// The longest time for which a line waits for the next one. A system call for each of a thousand steps in a second would
/// take time from training, and a program that reads them does not notice this.
const HELD: Duration = Duration::from_millis(50);

/// A record as a line.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a StepRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch_loss: Option<f64>,
}

impl<W: Write> JsonLines<W> {
    /// Creates a writer to `out`.
    pub fn new(out: W, records: Records) -> Self {
        Self::holding(out, records, HELD)
    }

    /// The same, if lines may wait for this time.
    fn holding(out: W, records: Records, held: Duration) -> Self {
        Self { out: Some(out), records, pending: Vec::new(), written: None, held, error: None }
    }

    /// Adds the line of a record, and returns whether there is one.
    fn add(&mut self, record: &StepRecord) -> serde_json::Result<bool> {
        match self.records {
            Records::Steps => serde_json::to_writer(&mut self.pending, record)?,
            Records::Epochs if record.epoch_loss.is_none() && record.validation.is_none() => return Ok(false),
            Records::Epochs => {
                let line = Line { record, epoch_loss: record.epoch_loss };
                serde_json::to_writer(&mut self.pending, &line)?;
            }
        }
        self.pending.push(b'\n');
        Ok(true)
    }

    /// Writes all lines so far, in one piece.
    fn write_out(&mut self) {
        let Some(out) = self.out.as_mut().filter(|_| !self.pending.is_empty()) else { return };
        let written = out.write_all(&self.pending).and_then(|()| out.flush());
        self.pending.clear();
        self.written = Some(Instant::now());
        self.keep(written);
    }

    /// Ends the writing after an error.
    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.out = None;
            self.error = Some(error).filter(|error| error.kind() != ErrorKind::BrokenPipe);
        }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn record(&mut self, record: &StepRecord) {
        if self.out.is_none() {
            return;
        }
        match self.add(record) {
            Ok(false) => {}
            Ok(true) => {
                if self.written.is_none_or(|written| written.elapsed() >= self.held) {
                    self.write_out();
                }
            }
            Err(error) => self.keep(Err(error.into())),
        }
    }

    fn validating(&mut self, _done: u64) {
        self.write_out();
    }

    fn saving(&mut self, _done: u64) {
        self.write_out();
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out();
        self.error.take().map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.write_out();
    }
}

impl<W: Write> Drop for JsonLines<W> {
    fn drop(&mut self) {
        // After an error of the run, too, its last lines are there.
        self.write_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::StepHyperparams;
    use crate::train::metrics::Evaluation;

    /// Fails from the second line on.
    struct Full(ErrorKind, u32);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 > 1 { Err(self.0.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record(step: u64) -> StepRecord {
        let loss = (step == 3).then_some(2.5);
        let rates = StepHyperparams::from(0.5);
        let validation = (step == 1).then(|| Evaluation {
            loss: 1.0,
            accuracy: None,
            metrics: Default::default(),
            lists: Default::default(),
        });
        StepRecord { epoch_loss: loss, validation, ..StepRecord::new(step, 1, &[rates], 0.1, f64::NAN) }
    }

    fn lines(records: Records) -> String {
        let mut out = Vec::new();
        let mut sink = JsonLines::new(&mut out, records);
        (0..4).for_each(|step| sink.record(&record(step)));
        assert!(sink.flush().is_ok());
        drop(sink);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_step_is_a_line_of_the_log() {
        let log: String = (0..4).map(|step| serde_json::to_string(&record(step)).unwrap() + "\n").collect();
        assert_eq!(lines(Records::Steps), log);
    }

    #[test]
    fn epochs_have_their_mean_loss_and_validations_are_there_too() {
        let expected = "{\"step\":1,\"epoch\":1,\"lr\":[0.5],\"loss\":0.1,\"val_loss\":1.0}\n\
                        {\"step\":3,\"epoch\":1,\"lr\":[0.5],\"loss\":0.1,\"epoch_loss\":2.5}\n";
        assert_eq!(lines(Records::Epochs), expected);
    }

    /// Keeps each piece that is written.
    impl Write for Pieces<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.iter().filter(|&&byte| byte == b'\n').count());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Pieces<'a>(&'a mut Vec<usize>);

    #[test]
    fn quick_steps_are_written_together_and_slow_ones_and_the_last_at_once() {
        let pieces = |held: Duration| {
            let mut pieces = Vec::new();
            let mut sink = JsonLines::holding(Pieces(&mut pieces), Records::Steps, held);
            (0..4).for_each(|step| sink.record(&record(step)));
            sink.validating(4);
            sink.record(&record(4));
            drop(sink);
            pieces
        };
        assert_eq!(pieces(Duration::MAX), [1, 3, 1]);
        assert_eq!(pieces(Duration::ZERO), [1; 5]);
    }

    #[test]
    fn an_error_is_reported_once_and_a_closed_pipe_is_none() {
        let flushed = |kind| {
            let mut sink = JsonLines::holding(Full(kind, 0), Records::Steps, Duration::ZERO);
            (0..4).for_each(|step| sink.record(&record(step)));
            [sink.flush().is_ok(), sink.flush().is_ok()]
        };
        assert_eq!(flushed(ErrorKind::StorageFull), [false, true]);
        assert_eq!(flushed(ErrorKind::BrokenPipe), [true, true]);
    }
}
