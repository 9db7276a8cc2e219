//! The target column of a table: values, or classes by number or by name.
//!
//! Labels that count from 0 are the numbers of classes. Other whole numbers, such as 1 and 2 or -1 and 1, are the names
//! of classes, in the order of their values, so that no class is without rows; words are names in the order of text.

mod blocks;

use std::num::NonZeroUsize;

use super::classes::LabelsOf;
use super::error::quoted;
use super::rows::class_below;
use super::value::{Value, class, number};
use super::words::Words;
use super::{DataError, Problem, Targets};
use crate::Notice;

/// How a column of labels becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelKind {
    /// Each label is a value.
    Values,
    /// Each label is 0 or 1, and a row has several.
    ZeroOrOne,
    /// Each label is a class; whether it has a number or a name follows from all labels.
    Classes,
    /// Each label is the name of a class, even if it looks like a number.
    Names,
    /// Each label is a class, and the first one decides whether all are numbers or names: for runs of earlier versions.
    AsFirst,
}

/// Labels under construction.
pub(super) enum Labels {
    Unknown(LabelKind),
    Values(Vec<f64>),
    Numbers(Vec<u32>),
    Names(Words),
    /// The text of each, and whether all are names.
    Texts {
        words: Words,
        named: bool,
        /// The first label that is a number at or above the declared number of classes.
        high: Option<u32>,
        has_zero: bool,
    },
}

/// The targets, the names of the classes if they have names, and likely mistakes.
pub(super) type Finished = (Targets, Option<Vec<String>>, Vec<Notice>);

impl Labels {
    /// Adds the next label; `declared` is the number of classes, if it is given.
    pub fn push(&mut self, value: Value, declared: Option<NonZeroUsize>) -> Result<(), Problem> {
        if let Self::Unknown(kind) = *self {
            *self = match (kind, value) {
                (LabelKind::Values | LabelKind::ZeroOrOne, _) => Self::Values(Vec::new()),
                (LabelKind::Classes | LabelKind::Names, _) => Self::Texts {
                    words: Words::default(),
                    named: kind == LabelKind::Names,
                    high: None,
                    has_zero: false,
                },
                (LabelKind::AsFirst, Value::Word(_)) => Self::Names(Words::default()),
                (LabelKind::AsFirst, Value::Text(text)) if !text.is_empty() && text.parse::<f64>().is_err() => {
                    Self::Names(Words::default())
                }
                (LabelKind::AsFirst, _) => Self::Numbers(Vec::new()),
            };
        }
        let limit = declared.map_or(usize::MAX, NonZeroUsize::get);
        match (self, value) {
            (_, Value::Missing) => return Err(Problem::NoLabel),
            (_, Value::List(_)) => return Err(Problem::ListAsOne),
            (Self::Texts { words, named, high, has_zero }, value) => {
                let text = value.written().ok_or(Problem::NoLabel)?;
                let text = text.as_ref();
                if !*named && let Ok(number) = text.parse::<f64>() {
                    let label = whole(number).ok_or_else(|| Problem::NotAClass(quoted(text)))?;
                    *has_zero |= label == 0;
                    if high.is_none() && label >= limit as i128 {
                        *high = u32::try_from(label).ok();
                    }
                }
                if let (Some(label), true) = (*high, *has_zero) {
                    return Err(Problem::ClassTooLarge { label, classes: limit });
                }
                let too_many = |_| Problem::TooManyNames { name: quoted(text), classes: limit };
                class_below(words.push(text), limit).map_err(too_many)?;
            }
            (Self::Values(values), Value::Number(value)) => values.push(value.value()?),
            (Self::Values(values), Value::Text(text) | Value::Word(text)) => values.push(number(text)?),
            (Self::Numbers(labels), Value::Number(label)) => {
                labels.push(class_below(class(&label.to_string())?, limit)?);
            }
            (Self::Numbers(labels), Value::Text(text) | Value::Word(text)) => {
                labels.push(class_below(class(text)?, limit)?);
            }
            (Self::Names(_), Value::Text(text)) if text.parse::<f64>().is_ok() => {
                return Err(Problem::NumberAmongNames(quoted(text)));
            }
            (Self::Names(words), Value::Text(name) | Value::Word(name)) => {
                let too_many = |_| Problem::TooManyNames { name: quoted(name), classes: limit };
                class_below(words.push(name), limit).map_err(too_many)?;
            }
            (Self::Names(_), Value::Number(number)) => {
                return Err(Problem::NumberAmongNames(number.to_string()));
            }
            (Self::Unknown(_), _) => {}
        }
        Ok(())
    }

    /// Refuses a class that no label so far has, or that is not below the `declared` number of classes.
    pub fn require_known(&self, value: Value, declared: Option<NonZeroUsize>) -> Result<(), Problem> {
        let Self::Texts { words, named, .. } = self else { return Ok(()) };
        let Some(text) = value.written() else { return Ok(()) };
        let text = text.as_ref();
        if words.contains(text) {
            return Ok(());
        }
        let known = |number: i128| words.distinct().iter().any(|word| number_of(word) == Some(number));
        let is_declared = |number: i128| declared.is_some_and(|limit| (0..limit.get() as i128).contains(&number));
        match number_of(text).filter(|_| !*named) {
            Some(number) if known(number) || is_declared(number) => Ok(()),
            _ => Err(Problem::NotAmongTraining(quoted(text))),
        }
    }

    /// Returns the last label, if labels are values.
    pub fn last_value(&self) -> Option<f64> {
        match self {
            Self::Values(values) => values.last().copied(),
            Self::Unknown(_) | Self::Numbers(_) | Self::Names(_) | Self::Texts { .. } => None,
        }
    }

    /// Returns a lower bound of the bytes of the labels so far.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Unknown(_) => 0,
            Self::Values(values) => values.len() * 8,
            Self::Numbers(labels) => labels.len() * 4,
            Self::Names(words) | Self::Texts { words, .. } => words.rows().len() * 4,
        }
    }

    /// Returns the targets, the names of the classes if they have names, and likely mistakes.
    pub fn finish(self, labels_of: &LabelsOf, declared: Option<NonZeroUsize>) -> Result<Finished, DataError> {
        match self {
            Self::Unknown(_) => Err(DataError::NoRows { path: labels_of.path.into() }),
            Self::Values(values) => {
                let notices = labels_of.values(&values);
                let values = values.into_iter().map(|value| value as f32).collect();
                Ok((Targets::Values { values, width: 1 }, None, notices))
            }
            Self::Numbers(labels) => of_numbers(labels, labels_of, declared),
            Self::Names(words) => of_names(&words, |_| 0, labels_of, declared),
            Self::Texts { words, named, .. } => of_texts(&words, named, labels_of, declared),
        }
    }
}

fn of_numbers(labels: Vec<u32>, labels_of: &LabelsOf, declared: Option<NonZeroUsize>) -> Result<Finished, DataError> {
    let (count, notices) = labels_of.classes(&labels, None, declared)?;
    Ok((Targets::Classes { labels, count }, None, notices))
}

/// Names in the order of their values, and of their text where these are the same.
fn of_names(
    words: &Words,
    value: impl Fn(&str) -> i128,
    labels_of: &LabelsOf,
    declared: Option<NonZeroUsize>,
) -> Result<Finished, DataError> {
    let distinct = words.distinct();
    let mut order: Vec<usize> = (0..distinct.len()).collect();
    order.sort_by_key(|&word| (value(&distinct[word]), &distinct[word]));
    let mut places = vec![0; distinct.len()];
    order.iter().enumerate().for_each(|(place, &word)| places[word] = place as u32);
    let names: Vec<String> = order.into_iter().map(|word| distinct[word].clone()).collect();
    let labels: Vec<u32> = words.rows().iter().map(|&number| places[number as usize]).collect();
    let (count, notices) = labels_of.classes(&labels, Some(&names), declared)?;
    Ok((Targets::Classes { labels, count }, Some(names), notices))
}

fn of_texts(
    words: &Words,
    named: bool,
    labels_of: &LabelsOf,
    declared: Option<NonZeroUsize>,
) -> Result<Finished, DataError> {
    let numbers: Option<Vec<i128>> = words.distinct().iter().map(|word| number_of(word)).collect();
    match numbers {
        Some(_) if named => of_names(words, |word| number_of(word).unwrap_or_default(), labels_of, declared),
        Some(numbers) => of_whole_numbers(words, &numbers, labels_of, declared),
        None => {
            let mut finished = of_names(words, |_| 0, labels_of, declared)?;
            finished.2.extend((!named).then(|| mixed(words, labels_of)).flatten());
            Ok(finished)
        }
    }
}

/// Labels that are whole numbers: the numbers of classes if they count from 0, otherwise the names of classes.
fn of_whole_numbers(
    words: &Words,
    numbers: &[i128],
    labels_of: &LabelsOf,
    declared: Option<NonZeroUsize>,
) -> Result<Finished, DataError> {
    let mut values = numbers.to_vec();
    values.sort_unstable();
    values.dedup();
    let (smallest, largest) = (values.first().copied().unwrap_or(0), values.last().copied().unwrap_or(0));
    let limit = declared.map_or(values.len(), NonZeroUsize::get) as i128;
    let of_rows = |label: &dyn Fn(i128) -> u32| words.rows().iter().map(|&at| label(numbers[at as usize])).collect();
    if smallest >= 0 && largest < limit {
        return of_numbers(of_rows(&|number| number as u32), labels_of, declared);
    }
    if declared.is_some_and(|declared| declared.get() != values.len()) {
        return Err(beyond(words, numbers, limit, labels_of));
    }
    labels_of.refuse_values(values.len(), largest, words.rows().len())?;
    // Two ways of writing one number, such as 1 and 1.0, are one class.
    let names: Vec<String> = values.iter().map(i128::to_string).collect();
    let place = |number: i128| values.binary_search(&number).unwrap_or_default() as u32;
    let labels: Vec<u32> = of_rows(&place);
    let (count, mut notices) = labels_of.classes(&labels, Some(&names), declared)?;
    if declared.is_none() {
        notices.push(labels_of.by_value(&values, &labels));
    }
    Ok((Targets::Classes { labels, count }, Some(names), notices))
}

/// Returns the error of the first label that is not the number of a declared class.
fn beyond(words: &Words, numbers: &[i128], limit: i128, labels_of: &LabelsOf) -> DataError {
    let is_beyond = |&at: &u32| !(0..limit).contains(&numbers[at as usize]);
    let row = words.rows().iter().position(is_beyond).unwrap_or(0);
    let word = words.rows().get(row).map_or("", |&at| words.distinct()[at as usize].as_str());
    let problem = match class(word) {
        Ok(label) => Problem::ClassTooLarge { label, classes: limit as usize },
        Err(problem) => problem,
    };
    labels_of.wrong(row, problem)
}

/// Returns a warning if some labels are numbers and others are not.
fn mixed(words: &Words, labels_of: &LabelsOf) -> Option<Notice> {
    let (numbers, others): (Vec<&String>, Vec<&String>) =
        words.distinct().iter().partition(|word| word.parse::<f64>().is_ok());
    let (number, other) = (numbers.first()?, others.first()?);
    Some(labels_of.mixed(&quoted(number), &quoted(other)))
}

fn number_of(text: &str) -> Option<i128> {
    whole(text.parse().ok()?)
}

/// Returns a number that is whole and not too large for a class.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < f64::from(u32::MAX)).then_some(number as i128)
}

/// Returns the class of a label, by its name or, for names that are numbers, by its value.
pub(super) fn class_of(names: &[String], label: &str) -> Option<u32> {
    let by_name = names.iter().position(|name| name == label);
    let by_value = || {
        let number = number_of(label)?;
        names.iter().position(|name| number_of(name) == Some(number))
    };
    by_name.or_else(by_value).map(|class| class as u32)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::rows::OF_A_TABLE;
    use super::*;

    /// Classes of the rows, their number, their names, and the notices.
    type Finished = (Vec<u32>, usize, Option<Vec<String>>, Vec<String>);

    fn finished(labels: &[&str], kind: LabelKind, declared: Option<usize>) -> Result<Finished, String> {
        let declared = declared.and_then(NonZeroUsize::new);
        let mut column = Labels::Unknown(kind);
        for label in labels {
            column.push(Value::Text(label), declared).map_err(|problem| problem.to_string())?;
        }
        let place = Some("column `y`".to_owned());
        let (path, otherwise) = (Path::new("a.csv"), "set `data.label`");
        let labels_of = LabelsOf { path, place, otherwise, too_many: OF_A_TABLE, has_begun: false };
        let (targets, names, notices) =
            column.finish(&labels_of, declared).map_err(|error: DataError| error.to_string())?;
        let Targets::Classes { labels, count } = targets else { panic!("values") };
        Ok((labels, count, names, notices.iter().map(ToString::to_string).collect()))
    }

    fn names(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn labels_that_count_from_0_are_the_numbers_of_classes() {
        let (labels, count, named, said) = finished(&["0", "2", "1.0", "2"], LabelKind::Classes, None).unwrap();
        assert_eq!((labels, count, named, said), (vec![0, 2, 1, 2], 3, None, vec![]));
        let declared = finished(&["1", "3"], LabelKind::Classes, Some(4)).unwrap();
        assert_eq!((declared.0, declared.1, declared.2), (vec![1, 3], 4, None));
    }

    #[test]
    fn other_whole_numbers_are_classes_by_value_without_a_class_that_has_no_rows() {
        let cases: [(&[&str], &[u32], &[&str]); 5] = [
            (&["1", "2", "1"], &[0, 1, 0], &["1", "2"]),
            (&["1", "-1", "1", "-1"], &[1, 0, 1, 0], &["-1", "1"]),
            (&["10", "9", "10", "9.0"], &[1, 0, 1, 0], &["9", "10"]),
            (&["0", "2", "0", "2"], &[0, 1, 0, 1], &["0", "2"]),
            (&["-1", "0", "1", "0"], &[0, 1, 2, 1], &["-1", "0", "1"]),
        ];
        for (written, labels, named) in cases {
            let found = finished(written, LabelKind::Classes, None).unwrap();
            assert_eq!((found.0, found.1, found.2), (labels.to_vec(), named.len(), names(named)), "{written:?}");
            assert!(found.3.iter().any(|said| said.contains("classes by value")), "{:?}", found.3);
        }
        let declared = finished(&["1", "2", "1"], LabelKind::Classes, Some(2)).unwrap();
        assert_eq!((declared.0, declared.2), (vec![0, 1, 0], names(&["1", "2"])));
    }

    #[test]
    fn numbers_and_words_are_names_in_the_order_of_text_with_a_warning() {
        let (labels, _, named, said) = finished(&["7", "8", "7A", "8", "7"], LabelKind::Classes, None).unwrap();
        assert_eq!((labels, named), (vec![0, 2, 1, 2, 0], names(&["7", "7A", "8"])));
        assert!(said[0].contains("\"7\" is a number and \"7A\" is not"), "{said:?}");
        let (_, _, named, said) = finished(&["010", "9", "010", "9"], LabelKind::Names, None).unwrap();
        assert_eq!((named, said.len()), (names(&["9", "010"]), 0));
    }

    #[test]
    fn labels_that_are_no_classes_are_refused() {
        let refused = |labels: &[&str], declared| finished(labels, LabelKind::Classes, declared).unwrap_err();
        assert!(refused(&["0", "0.5"], None).contains("\"0.5\" is not a whole number"));
        assert!(refused(&["0", "1", "3"], Some(3)).contains("label 3 is not below the number of classes, 3"));
        assert!(refused(&["1", "2", "3"], Some(2)).contains("one name more than the 2 classes"));
        assert!(refused(&["350000", "210000"], None).contains("data.task = \"regression\""));
    }

    #[test]
    fn a_label_is_found_by_its_name_or_its_value() {
        let names = ["-1", "1", "7A"].map(str::to_owned);
        let found = ["1", "1.0", "-1", "7A", "2", "x"].map(|label| class_of(&names, label));
        assert_eq!(found, [Some(1), Some(1), Some(0), Some(2), None, None]);
    }
}
