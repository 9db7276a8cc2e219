//! Faults of a single value, and excerpts of a file in messages.

use thiserror::Error;

use crate::data::lists::LONGEST;
use crate::figures::counted;
use crate::nearest::nearest;

/// The fault of a single value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The field is empty.
    #[error("the field is empty; set `data.missing` to choose a replacement for missing values")]
    Empty,
    /// The field is empty, and the words for missing values are others.
    #[error("the field is empty; if that is a missing value, add \"\" to `data.missing_values`")]
    EmptyUnlisted,
    /// The label is missing.
    #[error("the label is missing; add it, or remove the row")]
    NoLabel,
    /// The label is a word for missing values.
    #[error(
        "the label is {0}, a word for missing values; complete it, or remove the row; if it is a class, set \
         `data.missing_values` to the words that mean a missing value"
    )]
    LabelForMissing(String),
    /// A word for missing values in a column of numbers.
    #[error(
        "{0} is not a number; if it stands for a missing value, set `data.missing`, and list it in `data.missing_values`"
    )]
    MissingAmongNumbers(String),
    /// A column of numbers began with a word for missing values.
    #[error(
        "the column began with {0}; if it stands for a missing value, set `data.missing`, and list it in \
         `data.missing_values`"
    )]
    BeganWithMissing(String),
    /// A number with a point among numbers with a comma.
    #[error(
        "{0} has a point, and the decimal mark of the file is a comma; write all numbers in one way, or set \
         `data.decimal`"
    )]
    PointAmongCommas(String),
    /// The text is not a number.
    #[error("{0} is not a number")]
    NotANumber(String),
    /// The text is a number or a date in human notation.
    #[error("{text} cannot be read as a number; it looks like {what}{remedy}")]
    WrittenForPeople {
        /// The text.
        text: Box<str>,
        /// Its apparent meaning.
        what: &'static str,
        /// The number in plain notation, after a comma, if there is one.
        remedy: Box<str>,
    },
    /// A value that can be neither a feature nor a label.
    #[error("a value is neither a number nor text; ignore the column with `data.ignore`")]
    NotPlain,
    /// A list where one value is expected: as a label, a category, or among numbers.
    #[error(
        "a list of numbers, where one value is expected; for another label set `data.label`, or ignore the column with \
         `data.ignore`"
    )]
    ListAsOne,
    /// One value where a list is expected.
    #[error("one value, where a list of numbers is expected, as Parquet holds them")]
    NotAList,
    /// The first list has no numbers.
    #[error("an empty list; ignore the column with `data.ignore`, or write null for a missing list")]
    EmptyList,
    /// A list has another length than those before it.
    #[error(
        "a list of {}, where {expected} {} expected: all lists of a column must have one length; ignore it with \
         `data.ignore`, or write null for a missing list",
        counted(*found, "number"),
        if *expected == 1 { "is" } else { "are" }
    )]
    OtherLength {
        /// Its length.
        found: usize,
        /// The length of the others.
        expected: usize,
    },
    /// A list is too long for a column of features.
    #[error("a list of {found} numbers, more than {LONGEST}; ignore the column with `data.ignore`")]
    ListTooLong {
        /// Its length.
        found: usize,
    },
    /// A number in a column of categories.
    #[error("{0} is a number, and the column began with words; name it in `data.categories` if all are names")]
    NumberAmongWords(String),
    /// A number among labels that are names.
    #[error("label {0} is a number, and the labels before it are names")]
    NumberAmongNames(String),
    /// A class that the model does not have.
    #[error("label {0} is not a class that the model was trained on")]
    UnknownClass(String),
    /// A class in validation or test rows that no training row has.
    #[error("label {0} is not a class of the training rows; correct it, or add rows of that class to them")]
    NotAmongTraining(String),
    /// A target without a logarithm.
    #[error("{value} is not above {above}, so that it has no logarithm for `data.target_transform`; {remedy}")]
    NoLogarithm {
        /// The target.
        value: String,
        /// The number that it must be above.
        above: i8,
        /// The transformations that take it.
        remedy: &'static str,
    },
    /// A value of one of several labels that is neither 0 nor 1.
    #[error(
        "{0} is neither 0 nor 1, as the values of several labels are; for other values set `data.task = \"regression\"`"
    )]
    NeitherZeroNorOne(String),
    /// The number is infinite, too large, or NaN.
    #[error("{0} is not a finite 32-bit number")]
    NotFinite(String),
    /// The label is not a class.
    #[error("label {0} is not a whole number of at least 0; for other values set `data.task = \"regression\"`")]
    NotAClass(String),
    /// An element of a tensor of labels is not a class.
    #[error("label {0} is not a whole number of at least 0; if these are values, store them as F32")]
    NotAClassOfTensor(String),
    /// The label has a new name, and there are already as many other names as classes.
    #[error("label {name} is one name more than the {classes} classes of `data.classes`")]
    TooManyNames {
        /// The name.
        name: String,
        /// Number of classes.
        classes: usize,
    },
    /// The label is not below the number of classes.
    #[error("label {label} is not below the number of classes, {classes}; labels count from 0")]
    ClassTooLarge {
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
}

/// Returns the end of a message about a missing name: a suggestion for `name`, and all `known` names.
pub(in crate::data) fn hint(name: &str, known: &[&str]) -> String {
    const LISTED: usize = 20;
    let list: Vec<String> = known.iter().take(LISTED).map(|known| format!("`{known}`")).collect();
    let mut text = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("; did you mean `{nearest}`? It has "),
        None => "; it has ".to_owned(),
    };
    text += &list.join(", ");
    if known.len() > LISTED {
        text += &format!(" and {} more", known.len() - LISTED);
    }
    text
}

/// Formats an excerpt of a user's file: quoted, without control characters, and shortened.
pub(in crate::data) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Returns the column's name for messages, if columns have `names`, otherwise its number.
pub(in crate::data) fn describe(names: Option<&[String]>, column: usize) -> String {
    match names.and_then(|names| names.get(column)) {
        Some(name) => format!("column `{name}`"),
        None => format!("column {column} (counted from 0)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_nearest_and_lists_what_there_is() {
        assert_eq!(hint("lable", &["x", "label"]), "; did you mean `label`? It has `x`, `label`");
        assert_eq!(hint("price", &["x", "y"]), "; it has `x`, `y`");
        let many: Vec<String> = (0..30).map(|i| format!("pixel{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(hint("class", &many).ends_with("`pixel19` and 10 more"));
    }

    #[test]
    fn a_long_field_is_shown_in_part() {
        assert_eq!(quoted("a\tb"), "\"a\\tb\"");
        assert_eq!(quoted(&"é".repeat(1000)), format!("\"{}\"…", "é".repeat(40)));
    }
}
