//! Words in a chart: how they are made to fit, and how they keep clear of each other.

/// Returns `text` on one line, without control characters, cut with `…` to a width of at most `most`.
pub fn fitted(text: &str, most: f64, width: impl Fn(&str) -> f64) -> String {
    let mut letters: Vec<char> = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let whole: String = letters.iter().take(500).collect();
    if letters.len() <= 500 && width(&whole) <= most {
        return whole;
    }
    letters.truncate(500);
    while letters.pop().is_some() {
        let cut: String = letters.iter().copied().chain(['…']).collect();
        if width(&cut) <= most {
            return cut;
        }
    }
    String::new()
}

/// Assigns each of the stretches `(from, to)` to a row such that none overlaps another in its row: the first of `most`
/// rows with space, or `None`. Stretches that begin further left choose first.
pub fn rows(stretches: &[(f64, f64)], most: usize) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..stretches.len()).collect();
    order.sort_by(|&a, &b| stretches[a].0.total_cmp(&stretches[b].0));
    let mut ends = vec![f64::NEG_INFINITY; most];
    let mut rows = vec![None; stretches.len()];
    for index in order {
        let (from, to) = stretches[index];
        if let Some(row) = ends.iter().position(|&end| end < from) {
            ends[row] = to;
            rows[index] = Some(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_and_control_characters_are_gone() {
        let count = |text: &str| text.chars().count() as f64;
        assert_eq!(fitted("warmup", 6.0, count), "warmup");
        assert_eq!(fitted("warmup", 5.0, count), "warm…");
        assert_eq!(fitted("warmup", 0.5, count), "");
        assert_eq!(fitted("a\u{1b}[31m\n", 9.0, count), "a [31m ");
    }

    #[test]
    fn names_that_overlap_go_to_another_row_until_there_is_none() {
        assert_eq!(rows(&[(0.0, 2.0), (1.0, 3.0), (1.5, 4.0), (2.5, 3.0)], 2), [Some(0), Some(1), None, Some(0)]);
    }
}
