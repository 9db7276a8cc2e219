//! The lines of a log, field by field, with numbers as they are written: an export has every digit of them, and does not
//! take the time of parsing.

use std::io::{self, Read};

use serde_json::Value;

use super::blocks::{BLOCK, Blocks, LONGEST};
use super::json::length_of_value;
use super::shape::Shape;

/// A field: its name, and its value as JSON, which is a number, a word, a text or a list of these.
pub(crate) type Field<'a> = (&'a str, &'a str);

/// A line of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Its text, without spaces and without the line break.
    pub text: &'a str,
    /// The fields in it.
    pub fields: &'a [Field<'a>],
    /// Whether it has the names and the lengths of lists of the line before, in the same order.
    pub is_like_before: bool,
}

/// Reads a log, and gives each of its lines with the fields in it to `work`. Returns the number of lines that are not
/// lines of a log; the last one does not count if it is incomplete, because it may be being written.
pub(crate) fn each<E: From<io::Error>>(
    log: impl Read,
    mut work: impl FnMut(Line<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let (mut blocks, mut block, mut others) = (Blocks::of(log, BLOCK), Vec::new(), 0);
    while blocks.next(&mut block)? {
        others += each_in(&block, &mut work)?;
    }
    Ok(others)
}

/// The same for a block of whole lines.
pub(crate) fn each_in<E>(block: &[u8], mut work: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<u64, E> {
    let (mut found, mut others, mut shape) = (Vec::new(), 0, None::<Shape>);
    // Usually the whole block is text, so that its lines need not be looked at one by one.
    let whole = std::str::from_utf8(block).ok();
    let mut at = 0;
    while at < block.len() {
        if let Some(shape) = &shape
            && let Some(rest) = whole.and_then(|whole| whole.get(at..))
            && let Some(length) = shape.read(rest, &mut found)
        {
            let text = rest.get(..length - 1).unwrap_or_default();
            work(Line { text, fields: &found, is_like_before: true })?;
            at += length;
            continue;
        }
        let rest = block.get(at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest);
        let next = at + end.map_or(rest.len(), |end| end + 1);
        let line = end.and_then(|end| match whole {
            Some(whole) => whole.get(at..at + end),
            None => std::str::from_utf8(rest.get(..end)?).ok(),
        });
        match line.filter(|line| fields(line, &mut found).is_some()) {
            Some(text) => {
                work(Line { text, fields: &found, is_like_before: false })?;
                shape = Shape::of(text, &found);
            }
            None => {
                // The fields found so far are not those of a line.
                shape = None;
                match line.and_then(compact) {
                    // Another program may have written it with spaces, or an earlier version.
                    Some(line) => others += written_otherwise(&line, &mut work)?,
                    None => others += u64::from(end.is_some() || rest.len() >= LONGEST),
                }
            }
        }
        at = next;
    }
    Ok(others)
}

/// Gives each line to `work` that is not like the one before, if a block consists of lines of a log alone, all of them
/// without spaces; otherwise it returns false, and has given some.
pub(super) fn each_kind(block: &[u8], mut work: impl FnMut(&[Field<'_>])) -> bool {
    let (mut found, mut shape, mut at) = (Vec::new(), None::<Shape>, 0);
    while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(length) = shape.as_ref().and_then(|shape| shape.length_in(rest)) {
            at += length;
            continue;
        }
        let line = memchr::memchr(b'\n', rest).and_then(|end| std::str::from_utf8(rest.get(..end)?).ok());
        let Some(text) = line.filter(|text| fields(text, &mut found).is_some()) else { return false };
        work(&found);
        (shape, at) = (Shape::of(text, &found), at + text.len() + 1);
    }
    true
}

/// Returns the number of the first line, from 1, that is not a line of a log.
pub(super) fn first_other(log: impl Read) -> io::Result<Option<u64>> {
    let (mut blocks, mut block, mut number) = (Blocks::of(log, BLOCK), Vec::new(), 0);
    while blocks.next(&mut block)? {
        if each_kind(&block, |_| ()) {
            number += memchr::memchr_iter(b'\n', &block).count() as u64;
            continue;
        }
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            number += 1;
            if each_in(line, |_| Ok::<_, io::Error>(()))? > 0 {
                return Ok(Some(number));
            }
        }
    }
    Ok(None)
}

/// Gives an object that was written with spaces to `work`, and returns 1 if it is not a line of a log.
fn written_otherwise<E>(text: &str, work: &mut impl FnMut(Line<'_>) -> Result<(), E>) -> Result<u64, E> {
    let mut found = Vec::new();
    match fields(text, &mut found) {
        Some(()) => work(Line { text, fields: &found, is_like_before: false }).map(|()| 0),
        None => Ok(1),
    }
}

/// Returns a JSON object without spaces, and without the object of figures of the test rows that earlier versions wrote.
fn compact(text: &str) -> Option<String> {
    let Value::Object(mut line) = serde_json::from_str(text).ok()? else { return None };
    match line.remove("test") {
        Some(Value::Object(figures)) => {
            line.extend(figures.into_iter().map(|(name, figure)| (format!("test_{name}"), figure)));
        }
        other => line.extend(other.map(|value| ("test".to_owned(), value))),
    }
    Some(Value::Object(line).to_string())
}

/// Finds the fields of a line without spaces; `None` if it is not of that form, or has no whole number as its step.
///
/// The names found before are a guess: lines usually have those of the line before them.
pub(super) fn fields<'a>(line: &'a str, found: &mut Vec<Field<'a>>) -> Option<()> {
    let inside = line.strip_prefix('{')?.strip_suffix('}')?;
    let (bytes, mut at, mut has_step) = (inside.as_bytes(), 0, false);
    for number in 0.. {
        let name = at + 1;
        let end_of_name = name + length_of_name(bytes.get(at..)?, found.get(number).map(|(name, _)| *name))?;
        let value = end_of_name + 2;
        let end = value + length_of_value(bytes.get(value..)?)?;
        let field = (inside.get(name..end_of_name)?, inside.get(value..end)?);
        if field.0 == "step" {
            is_step(field.1.as_bytes()).then_some(())?;
            has_step = true;
        }
        match found.get_mut(number) {
            Some(place) => *place = field,
            None => found.push(field),
        }
        match bytes.get(end) {
            Some(b',') => at = end + 1,
            None => {
                found.truncate(number + 1);
                return has_step.then_some(());
            }
            Some(_) => return None,
        }
    }
    None
}

/// Whether the text of a value is the number of a step: a whole one.
pub(super) fn is_step(value: &[u8]) -> bool {
    let is_long = || std::str::from_utf8(value).is_ok_and(|value| value.parse::<u64>().is_ok());
    // Usually it has a few digits, and need not be parsed.
    (1..20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit) || is_long()
}

/// Returns the length of the name in quotes at the beginning of `text`, which a colon follows. It may be `expected`.
fn length_of_name(text: &[u8], expected: Option<&str>) -> Option<usize> {
    let after_quote = text.strip_prefix(b"\"")?;
    let is_whole = |length: usize| after_quote.get(length..length + 2) == Some(b"\":");
    if let Some(expected) = expected
        && is_whole(expected.len())
        && after_quote.starts_with(expected.as_bytes())
    {
        return Some(expected.len());
    }
    let length = after_quote.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    is_whole(length).then_some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(log: impl AsRef<[u8]>) -> (Vec<String>, u64) {
        let mut found = Vec::new();
        let others = each_in(log.as_ref(), |line| {
            let fields = line.fields.iter().map(|(name, value)| format!("{name}={value}"));
            found.push(fields.collect::<Vec<_>>().join(" "));
            Ok::<_, io::Error>(())
        });
        (found, others.unwrap())
    }

    #[test]
    fn a_line_has_its_fields_with_every_digit() {
        let line = "{\"step\":3,\"lr\":[0.1,2e-7],\"loss\":0.30000000000000004,\"skipped\":true}\n";
        let expected = "step=3 lr=[0.1,2e-7] loss=0.30000000000000004 skipped=true";
        assert_eq!(read(line), (vec![expected.to_owned()], 0));
        let spaced = "{ \"step\": 3, \"lr\": [0.5, 1] }\n";
        assert_eq!(read(spaced).0.len(), 1);
        assert!(read(spaced).0[0].contains("lr=[0.5,1]"));
    }

    #[test]
    fn a_line_whose_step_is_no_whole_number_is_no_line_of_a_log() {
        let good = "{\"step\":3,\"loss\":0.5}\n";
        for step in ["1.5", "-1", "1e3", "1-2", "null", "true", "\"4\"", "[4]", "[]", "18446744073709551616"] {
            let bad = good.replace('3', step);
            for log in [format!("{good}{good}{bad}{good}"), format!("{bad}{good}{good}{good}")] {
                assert_eq!(read(&log), (vec!["step=3 loss=0.5".to_owned(); 3], 1), "{step}");
                assert!(!each_kind(log.as_bytes(), |_| ()), "{step}");
                let number = log.lines().position(|line| line == bad.trim_end()).map(|before| before as u64 + 1);
                assert_eq!(first_other(log.as_bytes()).unwrap(), number, "{step}");
            }
        }
        let largest = good.replace('3', &u64::MAX.to_string());
        assert_eq!(read(&largest).1, 0);
        assert_eq!(first_other(format!("{good}{{\"st").as_bytes()).unwrap(), None);
    }

    #[test]
    fn other_lines_are_counted_and_an_incomplete_last_one_is_not() {
        let good = "{\"step\":3,\"loss\":0.5}\n";
        for bad in ["\n", "garbage\n", "{}\n", "{\"loss\":0.5}\n", "{\"step\":1,}\n", "{\"step\":x}\n", "\u{0}\u{0}\n"]
        {
            assert_eq!(read(format!("{good}{bad}{good}")), (vec!["step=3 loss=0.5".to_owned(); 2], 1), "{bad:?}");
        }
        for end in 1..good.len() {
            assert_eq!(read(format!("{good}{}", &good[..end])).1, 0);
        }
        assert_eq!(read("{\"step\":1,\"more\":{\"a\":1}}\n").1, 1);
        let of_test = read("{\"step\":1,\"test\":{\"loss\":0.5}}\n");
        assert_eq!(of_test, (vec!["step=1 test_loss=0.5".to_owned()], 0));
        let long = format!("{}\n", "9".repeat(3 << 20));
        assert_eq!(each(long.as_bytes(), |_| Ok::<_, io::Error>(())).unwrap(), 4);
    }

    /// Lines such as training makes, and others.
    fn line() -> impl Strategy<Value = String> {
        let number = || {
            prop_oneof![
                any::<u64>().prop_map(|number| number.to_string()),
                any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap()),
                (-99..99_i32).prop_map(|number| number.to_string()),
            ]
        };
        let usual = (any::<u64>(), number(), number(), number()).prop_map(|(step, lr, loss, norm)| {
            format!("{{\"step\":{step},\"epoch\":1,\"lr\":[{lr},{loss}],\"loss\":{loss},\"grad_norm\":{norm}}}\n")
        });
        let validation = (any::<u64>(), number()).prop_map(|(step, loss)| {
            format!(
                "{{\"step\":{step},\"epoch\":1,\"lr\":[0.1],\"loss\":{loss},\"val_loss\":{loss},\"skipped\":true}}\n"
            )
        });
        const OTHERS: [&str; 5] =
            ["\n", "garbage\n", "{}\n", "{ \"step\": 3, \"loss\": 0.5 }\n", "{\"step\":1,\"lr\":[1,null]}\n"];
        prop_oneof![9 => usual, 3 => validation, 2 => prop::sample::select(&OTHERS[..]).prop_map(str::to_owned)]
    }

    proptest! {
        /// A line is known by the shape of the one before it exactly if it is a line by itself.
        #[test]
        fn lines_are_read_together_as_each_alone(
            lines in prop::collection::vec(line(), 1..30),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut log = lines.concat().into_bytes();
            let length = log.len();
            damage.iter().for_each(|(at, byte)| log[at.index(length)] = *byte);
            let (mut alone, mut others) = (Vec::new(), 0);
            for line in log.split_inclusive(|byte| *byte == b'\n') {
                let (found, other) = read(line);
                alone.extend(found);
                others += other;
            }
            prop_assert_eq!(read(&log), (alone, others));
            let mut copied = Vec::new();
            let others = each_in(&log, |line| {
                copied.extend_from_slice(line.text.as_bytes());
                copied.push(b'\n');
                Ok::<_, io::Error>(())
            });
            prop_assert_eq!(each_kind(&log, |_| ()), copied == log && others.unwrap() == 0);
        }
    }
}
