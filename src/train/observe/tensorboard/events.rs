//! The events of a run, as TensorBoard's messages: `Event` and `Summary` of TensorFlow, and those of the HParams tab.
//!
//! Scalars, histograms and pictures have their old forms, which all readers take without metadata.

use serde_json::Value;

use super::histogram::Histogram;
use crate::protobuf::{Message, take_varint};
use crate::train::metrics::TestFigures;
use crate::train::record::StepRecord;

/// Fields of an `Event`.
mod field {
    pub const WALL_TIME: u64 = 1;
    pub const STEP: u64 = 2;
    pub const FILE_VERSION: u64 = 3;
    pub const SUMMARY: u64 = 5;
    pub const SESSION_LOG: u64 = 7;
}

/// Bytes of the event of a step, or a few more.
const ROOM: usize = 256;

/// The first value of the event of a step, by which it is known.
const FIRST_SCALAR: &str = "loss";

fn event(wall_time: f64, step: u64) -> Message {
    Message::with_room(ROOM).double(field::WALL_TIME, wall_time).integer(field::STEP, step)
}

/// The first event of each file.
pub(super) fn version(wall_time: f64) -> Message {
    event(wall_time, 0).blob(field::FILE_VERSION, b"brain.Event:2")
}

/// Says that a process begins at this step: readers drop what earlier files have at this step and later ones.
pub(super) fn start(wall_time: f64, step: u64) -> Message {
    const START: u64 = 1;
    event(wall_time, step).message(field::SESSION_LOG, &Message::default().integer(1, START))
}

/// Values after a step.
pub(super) fn summary(wall_time: f64, step: u64, values: &[Message]) -> Message {
    event(wall_time, step).messages(field::SUMMARY, 1, values)
}

fn value(tag: &str) -> Message {
    Message::with_room(tag.len() + 8).blob(1, tag.as_bytes())
}

/// A number. It has 24 significant bits.
pub(super) fn scalar(tag: &str, number: f64) -> Message {
    value(tag).float(2, number as f32)
}

pub(super) fn histogram(tag: &str, histogram: &Histogram) -> Message {
    value(tag).message(5, &histogram.message())
}

/// A picture as PNG, with colors and transparency.
#[cfg(feature = "charts")]
pub(super) fn image(tag: &str, [width, height]: [u32; 2], png: &[u8]) -> Message {
    const RGBA: u64 = 4;
    let image = Message::default().integer(1, height.into()).integer(2, width.into()).integer(3, RGBA).blob(4, png);
    value(tag).message(4, &image)
}

/// A text in Markdown.
pub(super) fn text(tag: &str, markdown: &str) -> Message {
    const STRING: u64 = 7;
    let tensor = Message::default().integer(1, STRING).message(2, &Message::default()).blob(8, markdown.as_bytes());
    value(tag).message(8, &tensor).message(9, &metadata("text", &Message::default()))
}

/// The hyperparameters of a run, by name.
pub(super) fn hyperparameters(start_time: f64, values: &[(String, Value)]) -> Message {
    let entry = |(name, value): &(String, Value)| {
        Message::default().blob(1, name.as_bytes()).message(2, &hyperparameter(value))
    };
    let started = values.iter().map(entry).fold(Message::default(), |started, entry| started.message(1, &entry));
    of_hparams("_hparams_/session_start_info", 3, &started.double(5, start_time))
}

/// The end of a run that has made all its updates.
pub(super) fn finished(end_time: f64) -> Message {
    const SUCCESS: u64 = 1;
    let ended = Message::default().integer(1, SUCCESS).double(2, end_time);
    of_hparams("_hparams_/session_end_info", 4, &ended)
}

/// A value of the HParams tab is in its metadata; the tensor only has to be there.
fn of_hparams(tag: &str, field: u64, data: &Message) -> Message {
    const FLOAT: u64 = 1;
    let shape = Message::default().message(2, &Message::default().integer(1, 1));
    let tensor = Message::default().integer(1, FLOAT).message(2, &shape).float(5, 0.0);
    value(tag).message(8, &tensor).message(9, &metadata("hparams", &Message::default().message(field, data)))
}

fn metadata(plugin: &str, content: &Message) -> Message {
    Message::default().message(1, &Message::default().blob(1, plugin.as_bytes()).message(2, content))
}

/// A `google.protobuf.Value`; lists and tables are JSON text.
fn hyperparameter(value: &Value) -> Message {
    match value {
        Value::Number(number) => Message::default().double(2, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Message::default().blob(3, text.as_bytes()),
        Value::Bool(flag) => Message::default().integer(4, u64::from(*flag)),
        other => Message::default().blob(3, other.to_string().as_bytes()),
    }
}

/// The scalars of a step: those of its line in `log.jsonl`, by the names that they have there.
pub(super) fn scalars(record: &StepRecord) -> Vec<Message> {
    let mut values = vec![scalar(FIRST_SCALAR, record.loss)];
    add_groups(&mut values, "lr", Some(&record.lr));
    add_groups(&mut values, "momentum", record.momentum.as_deref());
    add_groups(&mut values, "weight_decay", record.weight_decay.as_deref());
    let known = [("grad_norm", Some(record.grad_norm)), ("loss_scale", record.loss_scale)];
    let known = known.into_iter().filter_map(|(tag, number)| Some((tag, number.filter(|x| x.is_finite())?)));
    values.extend(known.map(|(tag, number)| scalar(tag, number)));
    if let Some(validation) = &record.validation {
        values.push(scalar("val_loss", validation.loss));
        values.extend(validation.accuracy.map(|accuracy| scalar("val_accuracy", accuracy)));
        values.extend(validation.metrics.iter().map(|(name, number)| scalar(name, *number)));
    }
    values.extend(record.test.iter().flat_map(TestFigures::named).map(|(name, number)| scalar(&name, number)));
    values
}

/// Adds a value for each group of parameters.
fn add_groups(values: &mut Vec<Message>, name: &str, numbers: Option<&[f64]>) {
    match numbers {
        None => {}
        Some([number]) => values.push(scalar(name, *number)),
        Some(numbers) => {
            let of_group = |(group, number): (usize, &f64)| scalar(&format!("{name}/{group}"), *number);
            values.extend(numbers.iter().enumerate().map(of_group));
        }
    }
}

/// An event in a file of an earlier process of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Version,
    Start {
        step: u64,
    },
    /// The scalars of a step.
    Step {
        step: u64,
    },
    /// Any other values.
    Values {
        step: u64,
    },
}

impl Written {
    /// Reads an event that was made here; `None` if it was not.
    pub fn read(mut event: &[u8]) -> Option<Self> {
        const EIGHT_BYTES: u64 = 1;
        const WITH_LENGTH: u64 = 2;
        if take_varint(&mut event)? != field::WALL_TIME << 3 | EIGHT_BYTES {
            return None;
        }
        event = event.get(8..)?;
        if take_varint(&mut event)? != field::STEP << 3 {
            return None;
        }
        let step = take_varint(&mut event)?;
        let key = take_varint(&mut event)?;
        match key >> 3 {
            _ if key & 7 != WITH_LENGTH => None,
            field::FILE_VERSION => Some(Self::Version),
            field::SESSION_LOG => Some(Self::Start { step }),
            field::SUMMARY if first_tag(event)? == FIRST_SCALAR.as_bytes() => Some(Self::Step { step }),
            field::SUMMARY => Some(Self::Values { step }),
            _ => None,
        }
    }
}

/// The tag of the first value of a summary, from its length on.
fn first_tag(mut summary: &[u8]) -> Option<&[u8]> {
    const FIRST_FIELD_WITH_LENGTH: u64 = 1 << 3 | 2;
    take_varint(&mut summary)?;
    for _ in 0..2 {
        if take_varint(&mut summary)? != FIRST_FIELD_WITH_LENGTH {
            return None;
        }
        let length = usize::try_from(take_varint(&mut summary)?).ok()?;
        summary = summary.get(..length)?;
    }
    Some(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_were_made_here_are_known_again() {
        let record = StepRecord::new(7, 1, &[0.1.into()], 0.25, 1.5);
        let found = |message: &Message| Written::read(message.bytes());
        assert_eq!(found(&version(1.5)), Some(Written::Version));
        assert_eq!(found(&start(1.5, 300)), Some(Written::Start { step: 300 }));
        assert_eq!(found(&summary(1.5, 7, &scalars(&record))), Some(Written::Step { step: 7 }));
        for other in [text("config", "loss"), hyperparameters(0.0, &[]), finished(0.0), scalar("lossy", 1.0)] {
            assert_eq!(found(&summary(1.5, u64::MAX, &[other])), Some(Written::Values { step: u64::MAX }));
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_program_is_no_event() {
        let whole = start(1.5, 300);
        for end in 0..12 {
            assert_eq!(Written::read(&whole.bytes()[..end]), None);
        }
        assert_eq!(Written::read(Message::default().integer(2, 7).bytes()), None);
        assert_eq!(Written::read(&[0xff; 40]), None);
    }

    #[test]
    fn several_groups_have_a_tag_each_and_a_skipped_step_has_no_norm() {
        let record = StepRecord::new(7, 1, &[0.1.into(), 0.2.into()], 0.25, f64::NAN);
        let expected = [scalar("loss", 0.25), scalar("lr/0", 0.1), scalar("lr/1", 0.2)];
        assert_eq!(scalars(&record), expected);
    }
}
