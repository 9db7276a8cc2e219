//! The lines of a log, field by field, with numbers as they are written: an export has every digit of them, and does not
//! take the time of parsing.

use std::io::{self, Read};

use serde_json::Value;

use super::blocks::{BLOCK, Blocks, LONGEST};

/// A field: its name, and its value as JSON, which is a number, a word, a text or a list of these.
pub(crate) type Field<'a> = (&'a str, &'a str);

/// Reads a log, and gives each of its lines with the fields in it to `work`. Returns the number of lines that are not
/// lines of a log; the last one does not count if it is incomplete, because it may be being written.
pub(crate) fn each<E: From<io::Error>>(
    log: impl Read,
    mut work: impl FnMut(&str, &[Field<'_>]) -> Result<(), E>,
) -> Result<u64, E> {
    let (mut blocks, mut others) = (Blocks::of(log, BLOCK), 0);
    while let Some(block) = blocks.next()? {
        others += each_in(&block, &mut work)?;
    }
    Ok(others)
}

/// The same for a block of whole lines.
pub(super) fn each_in<E>(block: &[u8], mut work: impl FnMut(&str, &[Field<'_>]) -> Result<(), E>) -> Result<u64, E> {
    let (mut found, mut others) = (Vec::new(), 0);
    // Usually the whole block is text, so that its lines need not be looked at one by one.
    let whole = std::str::from_utf8(block).ok();
    let mut at = 0;
    while at < block.len() {
        let rest = block.get(at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest);
        let next = at + end.map_or(rest.len(), |end| end + 1);
        let line = end.and_then(|end| match whole {
            Some(whole) => whole.get(at..at + end),
            None => std::str::from_utf8(rest.get(..end)?).ok(),
        });
        match line.filter(|line| fields(line, &mut found).is_some()) {
            Some(line) => work(line, &found)?,
            None => match line.and_then(compact) {
                // Another program may have written it with spaces.
                Some(line) => others += written_with_spaces(&line, &mut work)?,
                None => others += u64::from(end.is_some() || rest.len() >= LONGEST),
            },
        }
        at = next;
    }
    Ok(others)
}

/// Gives an object that was written with spaces to `work`, and returns 1 if it is not a line of a log.
fn written_with_spaces<E>(line: &str, work: &mut impl FnMut(&str, &[Field<'_>]) -> Result<(), E>) -> Result<u64, E> {
    let mut found = Vec::new();
    match fields(line, &mut found) {
        Some(()) => work(line, &found).map(|()| 0),
        None => Ok(1),
    }
}

/// Returns a JSON object without spaces.
fn compact(text: &str) -> Option<String> {
    serde_json::from_str::<Value>(text).ok().filter(Value::is_object).map(|object| object.to_string())
}

/// Finds the fields of a line without spaces; `None` if it is not of that form, or has no step.
///
/// The names found before are a guess: lines usually have those of the line before them.
fn fields<'a>(line: &'a str, found: &mut Vec<Field<'a>>) -> Option<()> {
    let inside = line.strip_prefix('{')?.strip_suffix('}')?;
    let (bytes, mut at, mut has_step) = (inside.as_bytes(), 0, false);
    for number in 0.. {
        let name = at + 1;
        let end_of_name = name + length_of_name(bytes.get(at..)?, found.get(number).map(|(name, _)| *name))?;
        let value = end_of_name + 2;
        let end = value + length_of_value(bytes.get(value..)?)?;
        let field = (inside.get(name..end_of_name)?, inside.get(value..end)?);
        has_step |= field.0 == "step";
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

/// Returns the length of the value at the beginning of `text`.
fn length_of_value(text: &[u8]) -> Option<usize> {
    match text {
        [b'[', b']', ..] => Some(2),
        [b'[', items @ ..] => length_of_list(items).map(|length| 1 + length),
        [b'"', rest @ ..] => {
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            (rest.get(end) == Some(&b'"')).then_some(end + 2)
        }
        text => length_of_plain(text),
    }
}

/// Returns the length of the elements of a list, with its end.
fn length_of_list(items: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += length_of_plain(items.get(at..)?)?;
        match items.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Returns the length of the number or word at the beginning of `text`.
fn length_of_plain(text: &[u8]) -> Option<usize> {
    match text {
        [b'0'..=b'9', rest @ ..] => Some(1 + length_of_number(rest)),
        [b'-', b'0'..=b'9', rest @ ..] => Some(2 + length_of_number(rest)),
        text => [&b"true"[..], b"false", b"null"].into_iter().find(|word| text.starts_with(word)).map(<[u8]>::len),
    }
}

/// Returns the length of the part of a number after its first digit.
fn length_of_number(text: &[u8]) -> usize {
    text.iter().position(|byte| !IS_IN_NUMBERS[usize::from(*byte)]).unwrap_or(text.len())
}

/// Whether a byte may be in a number, after its first digit.
const IS_IN_NUMBERS: [bool; 256] = {
    let mut are = [false; 256];
    let (inside, mut at) = (b"0123456789.-+eE", 0);
    while at < inside.len() {
        are[inside[at] as usize] = true;
        at += 1;
    }
    are
};

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &str) -> (Vec<String>, u64) {
        let mut found = Vec::new();
        let others = each(log.as_bytes(), |_, fields| {
            found.push(fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "));
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
    fn other_lines_are_counted_and_an_incomplete_last_one_is_not() {
        let good = "{\"step\":3,\"loss\":0.5}\n";
        for bad in ["\n", "garbage\n", "{}\n", "{\"loss\":0.5}\n", "{\"step\":1,}\n", "{\"step\":x}\n", "\u{0}\u{0}\n"]
        {
            assert_eq!(read(&format!("{good}{bad}{good}")), (vec!["step=3 loss=0.5".to_owned(); 2], 1), "{bad:?}");
        }
        for end in 1..good.len() {
            assert_eq!(read(&format!("{good}{}", &good[..end])).1, 0);
        }
        assert_eq!(read("{\"step\":1,\"more\":{\"a\":1}}\n").1, 1);
        assert_eq!(read(&format!("{}\n", "9".repeat(3 << 20))).1, 4);
    }
}
