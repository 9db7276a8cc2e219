//! The texts that stand for missing values: a word is compared as a word, and a number as a number, however it is written.

use super::digits;
use super::first_lines::with_point;
use super::options::Decimal;

/// Texts that stand for missing values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MissingTexts {
    words: Vec<String>,
    /// Those of them that are finite numbers, unless all are compared as words.
    numbers: Vec<f64>,
    /// Whether one is a number for the standard library, such as `nan`.
    is_ambiguous: bool,
    /// Whether one is a number in plain notation, such as `-999`, and compared as a word.
    has_plain_word: bool,
}

impl MissingTexts {
    /// Creates it of texts in a file with this decimal mark.
    pub fn new(texts: &[String], decimal: Decimal) -> Self {
        let mut words = texts.to_vec();
        if decimal == Decimal::Comma {
            // Fields are compared when their comma has become a point.
            words.extend(texts.iter().filter_map(|word| with_point(word)));
        }
        let parsed = || words.iter().filter_map(|word| word.parse::<f64>().ok());
        let (numbers, is_ambiguous) =
            (parsed().filter(|number| number.is_finite()).collect(), parsed().next().is_some());
        Self { words, numbers, is_ambiguous, has_plain_word: false }
    }

    /// Returns the same texts, of which also numbers are compared as words, as in runs of earlier versions.
    pub fn into_words(self) -> Self {
        let is_plain =
            |text: &String| digits::number(text.as_bytes(), b'.').is_some_and(|(_, length)| length == text.len());
        Self { has_plain_word: self.words.iter().any(is_plain), numbers: Vec::new(), ..self }
    }

    /// Whether a text is one of them.
    pub fn contain(&self, text: &str) -> bool {
        let is_number = || text.parse().is_ok_and(|number| self.contain_number(number));
        self.contain_word(text) || !self.numbers.is_empty() && is_number()
    }

    /// Whether a text in a column of words is one of them.
    pub fn contain_word(&self, text: &str) -> bool {
        self.words.iter().any(|missing| missing == text)
    }

    /// Whether a number is one of them.
    #[inline]
    pub fn contain_number(&self, number: f64) -> bool {
        self.numbers.contains(&number)
    }

    /// Whether some are compared as numbers.
    pub fn have_numbers(&self) -> bool {
        !self.numbers.is_empty()
    }

    /// Whether one is a number for the standard library, such as `nan`.
    pub fn are_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// Whether a number in plain notation may be one of them, and only its text tells.
    pub fn need_text(&self) -> bool {
        self.has_plain_word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str], decimal: Decimal) -> MissingTexts {
        MissingTexts::new(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), decimal)
    }

    #[test]
    fn a_number_is_compared_as_a_number_and_a_word_as_a_word() {
        let missing = texts(&["-999", "1e3", "NA", "nan"], Decimal::Point);
        for text in ["-999", "-999.0", "-9.99e2", "1000", "1000.00", "NA", "nan"] {
            assert!(missing.contain(text), "{text}");
        }
        for text in ["999", "-999.5", "na", "NaN", "N", "", "inf"] {
            assert!(!missing.contain(text), "{text}");
        }
        assert!(missing.contain_word("-999") && !missing.contain_word("-999.0"));
        assert!(texts(&["-999.0"], Decimal::Point).contain("-999"));
        assert!(texts(&["inf"], Decimal::Point).numbers.is_empty());
    }

    #[test]
    fn a_number_has_the_decimal_mark_of_the_file() {
        let missing = texts(&["-999,9"], Decimal::Comma);
        assert!(missing.contain("-999.9") && missing.contain("-999.90") && !missing.contain("-999"));
        assert!(!texts(&["-999,9"], Decimal::Point).contain("-999.9"));
    }

    #[test]
    fn earlier_versions_compared_numbers_as_words() {
        let missing = texts(&["-999"], Decimal::Point).into_words();
        assert!(missing.contain("-999") && !missing.contain("-999.0") && missing.need_text());
    }
}
