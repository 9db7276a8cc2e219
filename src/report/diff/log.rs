//! Differences between two logs.

use std::io::{self, BufRead, BufReader, Read};

use serde::Serialize;
use serde_json::Value;

use super::json::{FieldDifference, differences};

/// The first line in which two logs differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogDifference {
    /// Its number, counted from 1.
    pub line: u64,
    /// Its step, if it has one.
    pub step: Option<u64>,
    /// The fields in which it differs; empty if one log ends here, or the lines are not JSON.
    pub fields: Vec<FieldDifference>,
    /// The line in A; `None` if A has ended.
    pub a: Option<String>,
    /// The line in B; `None` if B has ended.
    pub b: Option<String>,
    /// Number of lines in A.
    pub lines_a: u64,
    /// Number of lines in B.
    pub lines_b: u64,
}

/// Maximal length of a line in bytes; a longer one counts as several.
const LONGEST_LINE: u64 = 1 << 20;

/// Compares the logs `a` and `b` line by line; `None` if they have the same bytes.
pub(super) fn compare(a: impl Read, b: impl Read) -> io::Result<Option<LogDifference>> {
    let (mut a, mut b) = (BufReader::new(a), BufReader::new(b));
    let (mut line_a, mut line_b) = (Vec::new(), Vec::new());
    let mut line = 0;
    loop {
        let more = [next(&mut a, &mut line_a)?, next(&mut b, &mut line_b)?];
        if more == [false, false] {
            return Ok(None);
        }
        line += 1;
        if line_a != line_b {
            let mut found = part(line, &line_a, &line_b);
            found.lines_a = line - u64::from(!more[0]) + count(&mut a)?;
            found.lines_b = line - u64::from(!more[1]) + count(&mut b)?;
            return Ok(Some(found));
        }
    }
}

fn next(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.take(LONGEST_LINE).read_until(b'\n', line)? > 0)
}

fn count(reader: &mut impl BufRead) -> io::Result<u64> {
    let (mut lines, mut line) = (0, Vec::new());
    while next(reader, &mut line)? {
        lines += 1;
    }
    Ok(lines)
}

fn part(line: u64, a: &[u8], b: &[u8]) -> LogDifference {
    let parsed = [a, b].map(|line| serde_json::from_slice::<Value>(line).ok());
    let step = parsed.iter().flatten().find_map(|line| line["step"].as_u64());
    let fields = match &parsed {
        [Some(a), Some(b)] => differences(a, b),
        _ => Vec::new(),
    };
    let text = |line: &[u8]| (!line.is_empty()).then(|| String::from_utf8_lossy(line).trim_end().to_owned());
    LogDifference { line, step, fields, a: text(a), b: text(b), lines_a: 0, lines_b: 0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parting(a: &str, b: &str) -> Option<LogDifference> {
        compare(a.as_bytes(), b.as_bytes()).unwrap()
    }

    const LOG: &str = "{\"step\":0,\"loss\":1.5}\n{\"step\":1,\"loss\":1.25}\n{\"step\":2,\"loss\":1.0}\n";

    #[test]
    fn logs_part_at_a_line_a_step_and_a_field() {
        assert_eq!(parting(LOG, LOG), None);
        assert_eq!(parting("", ""), None);
        let found = parting(LOG, &LOG.replace("1.25", "1.26")).unwrap();
        assert_eq!((found.line, found.step, found.lines_a, found.lines_b), (2, Some(1), 3, 3));
        let loss = FieldDifference { field: "loss".into(), a: Some(json!(1.25)), b: Some(json!(1.26)) };
        assert_eq!(found.fields, [loss]);
    }

    #[test]
    fn a_log_that_ends_early_parts_where_it_ends() {
        let short = &LOG[..LOG.find("{\"step\":1").unwrap()];
        let found = parting(LOG, short).unwrap();
        assert_eq!((found.line, found.step, found.lines_a, found.lines_b), (2, Some(1), 3, 1));
        assert!(found.fields.is_empty() && found.b.is_none(), "{found:?}");
        let found = parting("", LOG).unwrap();
        assert_eq!((found.line, found.a, found.lines_a, found.lines_b), (1, None, 0, 3));
    }

    #[test]
    fn lines_that_are_no_json_or_written_otherwise_differ_too() {
        let found = parting("step 1\n", "step 2\n").unwrap();
        assert_eq!((found.a.as_deref(), found.b.as_deref(), found.fields.len()), (Some("step 1"), Some("step 2"), 0));
        let found = parting("{\"step\":1}\n", "{\"step\": 1}\n").unwrap();
        assert_eq!((found.step, found.fields.len()), (Some(1), 0));
        let found = parting("{\"step\":1}\n", "{\"step\":1}").unwrap();
        assert_eq!(found.line, 1, "the last line end is missing");
    }
}
