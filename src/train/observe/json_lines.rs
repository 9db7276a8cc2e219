//! The records of a run as JSON lines, for programs.

use std::io::{self, ErrorKind, Write};

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

/// Writes records as they come, each as a line. A reader that closes the pipe is no error; any other error ends the
/// writing and is reported once.
#[derive(Debug)]
pub struct JsonLines<W> {
    /// Absent after an error.
    out: Option<W>,
    records: Records,
    error: Option<io::Error>,
}

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
        Self { out: Some(out), records, error: None }
    }

    fn line(&self, record: &StepRecord) -> serde_json::Result<Option<Vec<u8>>> {
        let mut line = match self.records {
            Records::Steps => serde_json::to_vec(record)?,
            Records::Epochs if record.epoch_loss.is_none() && record.validation.is_none() => return Ok(None),
            Records::Epochs => serde_json::to_vec(&Line { record, epoch_loss: record.epoch_loss })?,
        };
        line.push(b'\n');
        Ok(Some(line))
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn record(&mut self, record: &StepRecord) {
        let line = self.line(record);
        let Some(out) = &mut self.out else { return };
        // In one piece and at once, because a program may wait for it.
        let written = line.map_err(io::Error::from).and_then(|line| match line {
            Some(line) => out.write_all(&line).and_then(|()| out.flush()),
            None => Ok(()),
        });
        if let Err(error) = written {
            self.out = None;
            self.error = Some(error).filter(|error| error.kind() != ErrorKind::BrokenPipe);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
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

    #[test]
    fn an_error_is_reported_once_and_a_closed_pipe_is_none() {
        let flushed = |kind| {
            let mut sink = JsonLines::new(Full(kind, 0), Records::Steps);
            (0..4).for_each(|step| sink.record(&record(step)));
            [sink.flush().is_ok(), sink.flush().is_ok()]
        };
        assert_eq!(flushed(ErrorKind::StorageFull), [false, true]);
        assert_eq!(flushed(ErrorKind::BrokenPipe), [true, true]);
    }
}
