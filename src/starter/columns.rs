//! Use of a column other than the target in a first configuration.

use super::lines::example;
use crate::data::{ColumnSurvey, TableSurvey};

/// Names of columns that only number the rows.
const NUMBERS: [&str; 4] = ["id", "index", "unnamed: 0", "row"];

/// A column with more distinct words is taken for names or text, not categories.
pub(super) const CATEGORIES: usize = 50;

/// Maximal number of distinct words in a column of numbers that are taken for missing values.
const ODD_WORDS: usize = 3;

/// The use of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Use {
    /// Numbers. These words among them mean missing values.
    Number {
        /// The words.
        odd: Vec<String>,
    },
    /// Categories, with a reason if the values are ambiguous.
    Category {
        /// The reason.
        because: Option<String>,
    },
    /// Ignored.
    Left {
        /// The reason.
        because: String,
    },
}

impl Use {
    pub fn of(column: &ColumnSurvey, table: &TableSurvey) -> Self {
        let left = |because: String| Self::Left { because };
        let category = |because: Option<String>| Self::Category { because };
        let few = column.distinct <= CATEGORIES.min(table.looked_at / 2);
        if column.is_double {
            return left("an earlier column has the same name; rename one in the file".to_owned());
        }
        if column.present == 0 {
            return left("it has no values".to_owned());
        }
        // Rows that were not examined may have another value.
        if column.distinct == 1 && column.missing == 0 && table.looked_at == table.rows {
            return left("the same value in every row".to_owned());
        }
        if numbers_rows(column, table.has_header) {
            return left("it only numbers the rows".to_owned());
        }
        if let Some(code) = &column.padded {
            let because = format!("codes with leading zeros, such as {}", example(code));
            return if few { category(Some(because)) } else { left(because + ", nearly all different") };
        }
        if column.is_numeric() {
            return Self::Number { odd: Vec::new() };
        }
        let mostly = is_mostly_numbers(column);
        let is_measured = mostly && column.distinct > 10.min(table.looked_at / 3);
        if is_measured {
            return of_odd_words(column, table);
        }
        match (&column.look, few) {
            (Some((text, what)), false) => {
                left(format!("{what}, such as {}; write plain numbers to learn from it", example(text)))
            }
            (Some((text, what)), true) => {
                category(Some(format!("words that look like {what}, such as {}", example(text))))
            }
            (None, false) => {
                let text = column.words.first().map(|(word, _)| example(word)).unwrap_or_default();
                left(format!("{} different words, such as {text}", column.distinct))
            }
            (None, true) => category(None),
        }
    }
}

/// Whether at least half of the values are numbers, so that the words among them are exceptions.
pub(super) fn is_mostly_numbers(column: &ColumnSurvey) -> bool {
    column.present > 0 && 2 * column.numbers >= column.present
}

/// Words without a digit, such as "unknown", mean missing values if the file can declare them. Other words are probably
/// misspelled numbers.
fn of_odd_words(column: &ColumnSurvey, table: &TableSurvey) -> Use {
    let are_words = column.words.iter().all(|(word, _)| !word.contains(|c: char| c.is_numeric()));
    if are_words && column.words.len() <= ODD_WORDS && !table.is_parquet {
        return Use::Number { odd: column.words.iter().map(|(word, _)| word.clone()).collect() };
    }
    let (count, (text, row)) = (column.present - column.numbers, column.words.first().cloned().unwrap_or_default());
    let because = format!(
        "{count} of {} values {} not {}, such as {} in row {} (without the header); write plain numbers",
        column.present,
        if count == 1 { "is" } else { "are" },
        if count == 1 { "a number" } else { "numbers" },
        example(&text),
        row + 1
    );
    Use::Left { because }
}

/// Whether the column numbers the rows: a different integer in each row, under a name such as `id`, or without a name
/// in a file with column names.
fn numbers_rows(column: &ColumnSurvey, has_header: bool) -> bool {
    let is_id = |name: &str| {
        let lower = name.to_lowercase();
        NUMBERS.contains(&lower.as_str())
            // The index of a table of pandas.
            || lower.starts_with("__index_level_")
            || ["_id", " id", "-id"].iter().any(|ending| lower.ends_with(ending))
            || name.ends_with("Id")
            || name.ends_with("ID")
    };
    let is_called_so = column.name.as_deref().map_or(has_header, is_id);
    is_called_so && column.distinct == column.present && (column.is_counting || column.name.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize) -> TableSurvey {
        TableSurvey {
            is_parquet: false,
            has_header: true,
            delimiter: crate::data::Delimiter::COMMA,
            columns: Vec::new(),
            looked_at: rows,
            rows,
        }
    }

    #[test]
    fn odd_words_among_measures_are_missing_values_and_misspelt_numbers_are_not() {
        let column = |word: &str| ColumnSurvey {
            present: 40,
            distinct: 30,
            numbers: 39,
            words: vec![(word.to_owned(), 6)],
            ..ColumnSurvey::default()
        };
        assert_eq!(Use::of(&column("unknown"), &table(40)), Use::Number { odd: vec!["unknown".to_owned()] });
        let Use::Left { because } = Use::of(&column("1O5"), &table(40)) else { panic!() };
        assert_eq!(
            because,
            "1 of 40 values is not a number, such as \"1O5\" in row 7 (without the header); write plain numbers"
        );
    }

    #[test]
    fn codes_keep_their_zeros_as_categories() {
        let code = |distinct| ColumnSurvey {
            padded: Some("00123".to_owned()),
            present: 40,
            distinct,
            numbers: 40,
            ..ColumnSurvey::default()
        };
        assert!(matches!(Use::of(&code(4), &table(40)), Use::Category { because: Some(_) }));
        assert!(matches!(Use::of(&code(40), &table(40)), Use::Left { .. }));
    }
}
