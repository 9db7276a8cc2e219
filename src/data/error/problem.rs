//! What can be wrong with a single value, and how messages show pieces of a file.

use thiserror::Error;

use crate::nearest::nearest;

/// What is wrong with a single value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The field is empty.
    #[error("the field is empty; set `data.missing` to say what stands in for a missing value")]
    Empty,
    /// The label is missing.
    #[error("the label is missing, and a row without one teaches nothing; remove the row, or complete it")]
    NoLabel,
    /// The text is no number.
    #[error("{0} is not a number")]
    NotANumber(String),
    /// The text is a number or a date as people write it.
    #[error("{text} is not a number that can be read; it looks like {what}{remedy}")]
    WrittenForPeople {
        /// The text.
        text: Box<str>,
        /// The kind of thing it looks like.
        what: &'static str,
        /// The number to be written, after a comma, where there is one.
        remedy: Box<str>,
    },
    /// A value of a kind that no feature and no label is.
    #[error("a value is neither a number nor text; leave the column out with `data.ignore`")]
    NotPlain,
    /// A number in a column of categories.
    #[error("{0} is a number, and the column began with words; name it in `data.categories` if all are names")]
    NumberAmongWords(String),
    /// A number among labels that are names.
    #[error("label {0} is a number, and the labels before it are names")]
    NumberAmongNames(String),
    /// A class that is none of the model's.
    #[error("label {0} is none of the classes that the model was trained on")]
    UnknownClass(String),
    /// The number is infinite, too large, or none.
    #[error("{0} is not a finite 32-bit number")]
    NotFinite(String),
    /// The label is no class.
    #[error("label {0} is not a whole number from 0 up; for other values set `data.task = \"regression\"`")]
    NotAClass(String),
    /// An element of a tensor of labels is no class.
    #[error("label {0} is not a whole number from 0 up; if these are values, store them as F32")]
    NotAClassOfTensor(String),
    /// The label has a name, and there are as many other names as classes.
    #[error("label {name} is one name more than the {classes} classes of `data.classes`")]
    TooManyNames {
        /// The name.
        name: String,
        /// How many classes there are.
        classes: usize,
    },
    /// The label is beyond the classes.
    #[error("label {label} is not below the number of classes, {classes}; labels count from 0")]
    ClassTooLarge {
        /// The label.
        label: u32,
        /// How many classes there are.
        classes: usize,
    },
}

/// What a user may have meant by `name`, and what there is: the end of a message that something is missing.
pub(in crate::data) fn hint(name: &str, known: &[&str]) -> String {
    const LISTED: usize = 20;
    let mut text =
        nearest(name, known.iter().copied()).map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    let list: Vec<String> = known.iter().take(LISTED).map(|known| format!("`{known}`")).collect();
    text += &format!("; it has {}", list.join(", "));
    if known.len() > LISTED {
        text += &format!(" and {} more", known.len() - LISTED);
    }
    text
}

/// A piece of a user's file as a message shows it: quoted, without control characters, and not too long.
pub(in crate::data) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A column as messages name it: by its name, where columns have `names`.
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
        assert_eq!(hint("lable", &["x", "label"]), "; did you mean `label`?; it has `x`, `label`");
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
