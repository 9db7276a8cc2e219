//! The lines of a log, field by field, with numbers as they are written: an export has every digit of them, and does not
//! take the time of parsing.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::Value;

/// Maximal length of a line in bytes.
const LONGEST: u64 = 1 << 20;

/// A field: its name, and its value as JSON, which is a number, a word, a text or a list of these.
pub(crate) type Field<'a> = (&'a str, &'a str);

/// Reads a log, and gives each of its lines with the fields in it to `work`. Returns the number of lines that are not
/// lines of a log; the last one does not count if it is incomplete, because it may be being written.
pub(crate) fn each<E: From<io::Error>>(
    log: impl Read,
    mut work: impl FnMut(&str, &[Field<'_>]) -> Result<(), E>,
) -> Result<u64, E> {
    let mut log = BufReader::with_capacity(1 << 20, log);
    let (mut line, mut others) = (Vec::new(), 0);
    loop {
        line.clear();
        if log.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(others);
        }
        let is_torn_end = !line.ends_with(b"\n") && (line.len() as u64) < LONGEST;
        let text = std::str::from_utf8(&line).ok().and_then(|text| text.strip_suffix('\n'));
        // Another program may have written it with spaces.
        let spaced = text.filter(|text| fields(text).is_none()).and_then(compact);
        match text.map(|text| spaced.as_deref().unwrap_or(text)).and_then(|text| Some((text, fields(text)?))) {
            Some((text, fields)) => work(text, &fields)?,
            None => others += u64::from(!is_torn_end),
        }
    }
}

/// Returns a JSON object without spaces.
fn compact(text: &str) -> Option<String> {
    serde_json::from_str::<Value>(text).ok().filter(Value::is_object).map(|object| object.to_string())
}

/// Returns the fields of a line without spaces; `None` if it is not of that form, or has no step.
fn fields(line: &str) -> Option<Vec<Field<'_>>> {
    let mut rest = line.strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = Vec::with_capacity(8);
    loop {
        let after_quote = rest.strip_prefix('"')?;
        let end_of_name = after_quote.bytes().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (name, after_name) = after_quote.split_at_checked(end_of_name)?;
        let value_and_rest = after_name.strip_prefix("\":")?;
        let (value, after) = value_and_rest.split_at_checked(length_of_value(value_and_rest.as_bytes())?)?;
        fields.push((name, value));
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => break,
            None => return None,
        }
    }
    fields.iter().any(|(name, _)| *name == "step").then_some(fields)
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

fn length_of_number(text: &[u8]) -> usize {
    let is_inside = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    text.iter().position(|byte| !is_inside(byte)).unwrap_or(text.len())
}

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
