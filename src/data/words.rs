//! Interned words: each distinct one once, and its number in each row.

use std::collections::HashMap;

/// Words of rows.
#[derive(Debug, Default)]
pub(super) struct Words {
    distinct: Vec<String>,
    numbers: HashMap<String, u32>,
    rows: Vec<u32>,
}

impl Words {
    /// Adds the word of the next row, and returns its index in [`Words::distinct`].
    pub fn push(&mut self, word: &str) -> u32 {
        let number = match self.numbers.get(word) {
            Some(&number) => number,
            None => {
                let number = self.distinct.len() as u32;
                self.numbers.insert(word.to_owned(), number);
                self.distinct.push(word.to_owned());
                number
            }
        };
        self.rows.push(number);
        number
    }

    /// Adds rows of words that are known, by their indices.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = u32>) {
        self.rows.extend(rows);
    }

    /// Takes the last row away, and returns the index of its word, which stays known.
    pub fn pop(&mut self) -> Option<u32> {
        self.rows.pop()
    }

    /// Keeps the first `rows` rows, and the words in them.
    pub fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        let known = self.rows.iter().max().map_or(0, |&last| last as usize + 1);
        for word in self.distinct.drain(known..) {
            self.numbers.remove(&word);
        }
    }

    /// Whether a word is among them.
    pub fn contains(&self, word: &str) -> bool {
        self.numbers.contains_key(word)
    }

    /// Returns the distinct words, in order of first appearance.
    pub fn distinct(&self) -> &[String] {
        &self.distinct
    }

    /// Returns the index in [`Words::distinct`] of the word of each row.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_only_in_rows_taken_back_are_forgotten() {
        let mut words = Words::default();
        for word in ["b", "a", "b", "c", "a"] {
            words.push(word);
        }
        words.truncate(3);
        assert_eq!((words.distinct(), words.rows()), (["b", "a"].map(str::to_owned).as_slice(), [0, 1, 0].as_slice()));
        assert!(!words.contains("c") && words.push("c") == 2);
        words.truncate(0);
        assert!(words.distinct().is_empty() && words.push("c") == 0);
    }
}
