//! Number of classes, from the labels, and likely mistakes in labels.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use super::error::quoted;
use super::looks::FEW;
use super::rounding::of_rounding;
use super::rows::infer_classes;
use super::{DataError, Problem, TableError};
use crate::Notice;
use crate::figures::counted;

/// The source of labels, for messages.
pub(super) struct LabelsOf<'a> {
    /// The path of the file.
    pub path: &'a Path,
    /// The name of the column or tensor; `None` if the whole file is labels.
    pub place: Option<String>,
    /// The remedy if other labels were meant.
    pub otherwise: &'static str,
    /// The remedy if there are more classes than rows.
    pub too_many: &'static str,
    /// Whether the run has begun, in which case a single class is not an error.
    pub has_begun: bool,
}

impl LabelsOf<'_> {
    /// Returns the number of classes: as `declared`, or the number of `names`, otherwise one more than the largest
    /// label.
    ///
    /// # Errors
    /// All labels are the same in a new run, so nothing can be learned from them; or there are more classes than rows.
    pub fn classes(
        &self,
        labels: &[u32],
        names: Option<&[String]>,
        declared: Option<NonZeroUsize>,
    ) -> Result<(usize, Vec<Notice>), DataError> {
        let inferred = match declared {
            Some(declared) if names.is_none() => declared.get(),
            _ => {
                let largest = labels.iter().copied().max().unwrap_or(0);
                infer_classes(self.path, labels.len(), largest, self.too_many)?
            }
        };
        let classes = declared.map_or(names.map_or(inferred, <[String]>::len), NonZeroUsize::get);
        let mut rows = BTreeMap::new();
        labels.iter().for_each(|&label| *rows.entry(label).or_insert(0_usize) += 1);
        let name = |label: u32| {
            names.and_then(|names| names.get(label as usize)).map_or(label.to_string(), |name| quoted(name))
        };
        let mut said = Vec::new();
        if let (1, Some((&label, _))) = (rows.len(), rows.first_key_value()) {
            if declared.is_none() && !self.has_begun {
                let (place, label, otherwise) = (self.place(), name(label), self.otherwise);
                return Err(DataError::OneClass { place, label, otherwise });
            }
            said.push(format!("every row has the label {}, so nothing can be learned", name(label)));
        } else if declared.is_none() && names.is_none() && rows.len() < classes {
            let of_each: Vec<String> = rows
                .iter()
                .map(|(label, &rows)| format!("{label} ({rows} row{})", if rows == 1 { "" } else { "s" }))
                .collect();
            let unused: Vec<u32> = (0..classes as u32).filter(|class| !rows.contains_key(class)).collect();
            let (class, have) = if unused.len() == 1 { ("class", "has") } else { ("classes", "have") };
            said.push(format!(
                "the labels are {}, which makes {classes} classes, because labels count from 0: {class} {} {have} no \
                 rows; number the labels from 0, or set `data.classes = {classes}` if that is meant",
                listed(of_each),
                listed(ranges(&unused)),
            ));
        }
        said.extend(names.and_then(alike).map(|(a, b)| {
            let (a, b) = (quoted(a), quoted(b));
            format!("the classes {a} and {b} differ only in case or blanks; if they are one class, write it in one way")
        }));
        if labels.len() >= FEW && rows.len() * 2 > labels.len() {
            said.push(format!(
                "{} different labels in {} rows, such as {}: each class has hardly more than one training row; {}",
                rows.len(),
                labels.len(),
                name(labels[0]),
                self.otherwise,
            ));
        }
        let said = said.into_iter().map(|text| Notice::Warning(format!("{}: {text}", self.place()))).collect();
        Ok((classes, said))
    }

    /// Refuses whole numbers as names of classes if they are probably values: `distinct` of them in `rows` rows.
    pub fn refuse_values(&self, distinct: usize, largest: i128, rows: usize) -> Result<(), DataError> {
        if distinct * 2 <= rows {
            return Ok(());
        }
        let largest = u32::try_from(largest).unwrap_or(0);
        infer_classes(self.path, rows, largest, self.too_many).map(drop)
    }

    /// Says that labels which are whole numbers, in ascending order, are classes by their values.
    pub fn by_value(&self, values: &[i128], labels: &[u32]) -> Notice {
        let mut rows = vec![0_usize; values.len()];
        labels.iter().for_each(|&label| rows[label as usize] += 1);
        let of_each = values.iter().zip(rows).map(|(value, rows)| format!("{value} ({})", counted(rows, "row")));
        let (count, of_each) = (values.len(), listed(of_each.collect()));
        let largest = values.last().copied().unwrap_or(0);
        let otherwise = if values.first().is_some_and(|&smallest| smallest >= 0) {
            format!("; if they count from 0 and other classes have no rows here, set `data.classes = {}`", largest + 1)
        } else {
            String::new()
        };
        Notice::Note(format!("{}: the labels are {count} classes by value: {of_each}{otherwise}", self.place()))
    }

    /// Returns the error of the label in a row.
    pub fn wrong(&self, row: usize, problem: Problem) -> DataError {
        let (path, column) = (self.path.into(), self.place.clone().unwrap_or_default());
        TableError::Label { path, row, column, problem }.into()
    }

    /// Says that some labels are numbers and others are not.
    pub fn mixed(&self, number: &str, other: &str) -> Notice {
        Notice::Warning(format!(
            "{}: all labels are names, because {number} is a number and {other} is not; if that is meant, name the \
             column in `data.categories`",
            self.place()
        ))
    }

    /// Returns likely mistakes in targets that are values.
    pub fn values(&self, values: &[f64]) -> Vec<Notice> {
        let is_constant = values.iter().all(|value| Some(value) == values.first());
        let constant =
            || values.first().map(|value| format!("every row has the target {value}, so nothing can be learned"));
        let counts = || {
            let text = "the targets are consecutive whole numbers, each once, like row numbers; nothing can be learned \
                        from such a column";
            counts_rows(values).then(|| format!("{text}; {}", self.otherwise))
        };
        let said = if is_constant { constant() } else { of_rounding(values).or_else(counts) };
        said.map(|text| Notice::Warning(format!("{}: {text}", self.place()))).into_iter().collect()
    }

    fn place(&self) -> String {
        match &self.place {
            Some(place) => format!("{}, {place}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }
}

/// Returns the first two names that differ only in case and blanks.
fn alike(names: &[String]) -> Option<(&String, &String)> {
    let plain = |name: &str| name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut seen = BTreeMap::new();
    names.iter().find_map(|name| Some((seen.insert(plain(name), name)?, name)))
}

/// Whether the values are consecutive numbers, each once, in any order.
fn counts_rows(values: &[f64]) -> bool {
    // Sorting is only worth it if all are whole, and the first one and the last one are as far apart as they should be.
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    if values.iter().any(|value| value.fract() != 0.0) || high - low != values.len() as f64 - 1.0 {
        return false;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let is_next = |pair: &[f64]| matches!(pair, [a, b] if a + 1.0 == *b);
    values.len() >= FEW && sorted.windows(2).all(is_next)
}

/// Formats ascending numbers, with consecutive ones as ranges.
fn ranges(numbers: &[u32]) -> Vec<String> {
    let pieces = numbers.chunk_by(|a, b| a + 1 == *b);
    pieces
        .map(|piece| match *piece {
            [first, .., last] if last - first > 1 => vec![format!("{first} to {last}")],
            _ => piece.iter().map(u32::to_string).collect(),
        })
        .collect::<Vec<_>>()
        .concat()
}

/// Lists items in a sentence, only the first few if there are many.
pub(super) fn listed(mut items: Vec<String>) -> String {
    const SHOWN: usize = 10;
    if items.len() > SHOWN {
        let rest = items.len() - (SHOWN - 1);
        items.truncate(SHOWN - 1);
        items.push(format!("{rest} more"));
    }
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(labels: &[u32], declared: Option<usize>) -> Result<(usize, Vec<String>), String> {
        let place = Some("column `y`".to_owned());
        let labels_of =
            LabelsOf { path: Path::new("a.csv"), place, otherwise: "set `data.label`", too_many: "", has_begun: false };
        let (classes, notices) =
            labels_of.classes(labels, None, declared.and_then(NonZeroUsize::new)).map_err(|error| error.to_string())?;
        Ok((classes, notices.iter().map(Notice::to_string).collect()))
    }

    #[test]
    fn labels_of_one_class_are_refused_unless_more_are_declared() {
        let message = "a.csv, column `y`: every row has the label 3, so nothing can be learned; set `data.label`";
        assert_eq!(said(&[3, 3], None).unwrap_err(), message);
        let (classes, told) = said(&[3, 3], Some(4)).unwrap();
        assert_eq!((classes, told.len()), (4, 1));
        assert!(told[0].starts_with("warning: a.csv, column `y`: every row has the label 3"), "{told:?}");
    }

    #[test]
    fn classes_without_rows_are_reported_with_the_counts() {
        let told = said(&[1, 2, 3, 3], None).unwrap().1;
        let expected = "warning: a.csv, column `y`: the labels are 1 (1 row), 2 (1 row) and 3 (2 rows), which makes 4 \
                        classes, because labels count from 0: class 0 has no rows; number the labels from 0, or set \
                        `data.classes = 4` if that is meant";
        assert_eq!(told, [expected]);
        let told = said(&[0, 7], None).unwrap().1;
        assert!(told[0].contains("makes 8 classes") && told[0].contains("classes 1 to 6 have no rows"), "{told:?}");
        assert_eq!(said(&[0, 7], Some(8)).unwrap().1, [""; 0]);
        assert_eq!(said(&[0, 1, 2, 1], None).unwrap(), (3, vec![]));
    }

    #[test]
    fn labels_that_are_nearly_all_different_are_reported() {
        let labels: Vec<u32> = (0..20).collect();
        assert!(said(&labels, None).unwrap().1[0].contains("20 different labels in 20 rows, such as 0"));
    }

    #[test]
    fn classes_that_differ_in_case_or_blanks_alone_are_reported() {
        let names = ["No", "yes", "Yes "].map(str::to_owned);
        assert_eq!(alike(&names), Some((&names[1], &names[2])));
        assert_eq!(alike(&names[..2]), None);
    }

    #[test]
    fn targets_that_number_the_rows_are_reported() {
        let labels_of = LabelsOf {
            path: Path::new("a.csv"),
            place: None,
            otherwise: "set `data.label`",
            too_many: "",
            has_begun: false,
        };
        let values: Vec<f64> = (0..10).map(|i| f64::from((i * 7) % 10 + 100)).collect();
        let told = labels_of.values(&values);
        assert!(told[0].to_string().contains("consecutive whole numbers, each once"), "{told:?}");
        assert_eq!(labels_of.values(&[1.0, 3.0, 2.0, 4.0, 6.0, 5.0, 7.0, 7.0]), []);
    }

    #[test]
    fn a_long_list_is_reported_in_part() {
        assert_eq!(listed(ranges(&[0, 2, 3, 4, 7, 8])), "0, 2 to 4, 7 and 8");
        assert_eq!(listed((0..20).map(|i| i.to_string()).collect()), "0, 1, 2, 3, 4, 5, 6, 7, 8 and 11 more");
    }
}
