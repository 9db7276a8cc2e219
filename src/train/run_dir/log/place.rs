//! Finds the end of a step's line in a long log by halving it again and again, without reading all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::super::log_order::step_of;

/// Longer than any two lines, but those of models with very many groups.
const WINDOW: u64 = 1 << 16;

/// Returns where the line of update number `steps` - 1 ends, if the lines around that place are in order.
///
/// Lines before that place are not looked at, except for a few.
pub(super) fn end_of_lines_before(log: &File, steps: u64) -> io::Result<Option<u64>> {
    // The line that begins at `low` is of a step before `steps`, and none that begins from `high` on is.
    let (mut low, mut high) = (0, log.metadata()?.len());
    let mut window = Vec::new();
    while high - low > WINDOW {
        let middle = low + (high - low) / 2;
        read_at(log, middle, &mut window)?;
        match line_in(&window) {
            Some((start, line)) => match step_of(line) {
                Some(step) if step < steps => low = middle + start as u64,
                Some(_) => high = middle,
                None => return Ok(None),
            },
            // The last line may be incomplete.
            None if (window.len() as u64) < 2 * WINDOW => high = middle,
            None => return Ok(None),
        }
    }
    // All of what remains, and the line after it.
    read_at(log, low, &mut window)?;
    let (mut end, mut last) = (low, None);
    for line in window.split_inclusive(|&byte| byte == b'\n') {
        match step_of(line) {
            Some(step) if step < steps && last.is_none_or(|last| last < step) => last = Some(step),
            Some(step) if step < steps => return Ok(None),
            _ => break,
        }
        end += line.len() as u64;
    }
    let is_next = last.is_some_and(|last| last.checked_add(1) == Some(steps));
    Ok(is_next.then_some(end))
}

/// Reads two windows of the log, or to its end.
fn read_at(log: &File, place: u64, window: &mut Vec<u8>) -> io::Result<()> {
    window.resize(2 * WINDOW as usize, 0);
    let mut filled = 0;
    while let Some(rest) = window.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match log.read_at(rest, place + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    window.truncate(filled);
    Ok(())
}

/// Returns the first whole line that begins after the first line break, and its place.
fn line_in(window: &[u8]) -> Option<(usize, &[u8])> {
    let start = memchr::memchr(b'\n', window)? + 1;
    let rest = window.get(start..)?;
    let end = memchr::memchr(b'\n', rest)? + 1;
    Some((start, rest.get(..end)?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(step: u64) -> String {
        format!("{{\"step\":{step},\"loss\":0.5}}\n")
    }

    fn end_in(log: &str, steps: u64) -> Option<u64> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(log.as_bytes()).unwrap();
        end_of_lines_before(&file, steps).unwrap()
    }

    #[test]
    fn a_line_ends_where_it_does_if_every_line_is_read() {
        let all: String = (0..40_000).map(line).collect();
        let mut end = 0;
        for step in 0..40_000 {
            end += line(step).len() as u64;
            if [0, 1, 999, 20_000, 38_123, 39_998, 39_999].contains(&step) {
                assert_eq!(end_in(&all, step + 1), Some(end), "{step}");
                let torn = format!("{all}{}", &line(40_000)[..9]);
                assert_eq!(end_in(&torn, step + 1), Some(end), "{step} of a torn log");
            }
        }
        assert_eq!(end_in(&all, 40_001), None);
        assert_eq!(end_in("", 1), None);
    }

    #[test]
    fn a_place_with_lines_that_are_missing_or_out_of_order_is_not_the_one() {
        let all: String = (0..40_000).map(line).collect();
        assert_eq!(end_in(&all.replacen(&line(19_999), "", 1), 20_000), None);
        assert_eq!(end_in(&all.replacen(&line(19_998), &line(19_999), 1), 20_000), None);
        assert_eq!(end_in(&all.replacen(&line(20_000), &line(5), 1), 20_000), None);
        let zeros = "\0".repeat(all.len());
        assert_eq!(end_in(&format!("{all}{zeros}"), 40_000), None);
    }
}
