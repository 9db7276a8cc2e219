//! The order of a log's lines. Each step has one, in order; a tool that copies or merges logs may duplicate or swap
//! some, which misleads readers that take the last line for the newest.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

use serde::Deserialize;

/// Returns the step of a log line; `None` if the line is incomplete or invalid.
pub(super) fn step_of(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Step {
        step: u64,
    }
    line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok()).map(|Step { step }| step)
}

/// Returns the lines of the first `steps` updates in `content`, sorted and each once, up to the first step with two
/// different lines, because then the right one is unknown. Data after an invalid line is ignored.
pub(super) fn in_order(content: &[u8], steps: u64) -> Vec<u8> {
    let (mut lines, mut end): (BTreeMap<u64, &[u8]>, u64) = (BTreeMap::new(), steps);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let Some(step) = step_of(line) else { break };
        if step < end && *lines.entry(step).or_insert(line) != line {
            end = step;
        }
    }
    lines.range(..end).flat_map(|(_, line)| line.iter().copied()).collect()
}

/// The order of a log's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The first invalid line, except for an incomplete last one, or the first one out of order.
    pub fault: Option<String>,
    /// The first and the last step of each range of steps without a line, up to that fault. A run that began from
    /// another's checkpoint, or that lost lines by a disk failure, has such gaps.
    pub gaps: Vec<(u64, u64)>,
}

impl Order {
    /// Checks the order of a log that should have a line for each update in `steps`.
    pub(crate) fn of(log: impl Read, steps: Range<u64>) -> io::Result<Self> {
        let (mut reader, mut line) = (BufReader::new(log), Vec::new());
        let (mut next, mut order) = (steps.start, Self::default());
        for number in 1_u64.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some(step) = step_of(&line) else {
                let is_torn_end = !line.ends_with(b"\n");
                order.fault = (!is_torn_end).then(|| format!("line {number} is not a line of a log"));
                break;
            };
            if number > 1 && step < next {
                let last = next - 1;
                order.fault = Some(match last == step {
                    true => format!("line {number} has step {step}, like the one before"),
                    false => format!("line {number} has step {step}, and the one before step {last}"),
                });
                break;
            }
            order.miss(next, step);
            next = step.saturating_add(1);
        }
        if order.fault.is_none() {
            order.miss(next, steps.end);
        }
        Ok(order)
    }

    /// Notes that the steps from `next` to before `step` have no line.
    fn miss(&mut self, next: u64, step: u64) {
        if next < step {
            self.gaps.push((next, step - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(steps: &[u64]) -> Vec<u8> {
        steps.iter().flat_map(|step| format!("{{\"step\":{step},\"loss\":0.5}}\n").into_bytes()).collect()
    }

    #[test]
    fn lines_are_put_in_order_and_doubled_ones_are_one() {
        assert_eq!(in_order(&log(&[0, 2, 1, 1, 3, 9, 4]), 5), log(&[0, 1, 2, 3, 4]));
        assert_eq!(in_order(&log(&[0, 1, 2]), 2), log(&[0, 1]));
    }

    #[test]
    fn of_two_lines_of_one_step_that_differ_none_is_taken_for_the_right_one() {
        let other = b"{\"step\":1,\"loss\":0.25}\n";
        assert_eq!(in_order(&[&log(&[0, 1, 2]), &other[..]].concat(), 3), log(&[0]));
    }

    #[test]
    fn faults_are_named_with_their_line() {
        let fault = |log: &[u8]| Order::of(log, 0..0).unwrap().fault;
        assert_eq!(fault(&[&log(&[0, 1, 5]), &b"{\"step\":6"[..]].concat()), None);
        assert_eq!(fault(&log(&[0, 1, 1])).unwrap(), "line 3 has step 1, like the one before");
        assert_eq!(fault(&log(&[0, 2, 1])).unwrap(), "line 3 has step 1, and the one before step 2");
        assert_eq!(fault(&[&b"{}\n"[..], &log(&[1])].concat()).unwrap(), "line 1 is not a line of a log");
    }

    #[test]
    fn steps_without_a_line_are_found_wherever_they_are() {
        let gaps = |steps: &[u64], all| Order::of(&log(steps)[..], 0..all).unwrap().gaps;
        assert_eq!(gaps(&[0, 1, 2], 3), []);
        assert_eq!(gaps(&[3, 4, 7, 8], 12), [(0, 2), (5, 6), (9, 11)]);
        assert_eq!(gaps(&[], 5), [(0, 4)]);
        let taken_over = |steps: &[u64]| Order::of(&log(steps)[..], 3..6).unwrap().gaps;
        assert_eq!(taken_over(&[3, 4, 5]), []);
        assert_eq!(taken_over(&[5]), [(3, 4)]);
    }
}
