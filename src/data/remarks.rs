//! Remarks about a table before a run begins: likely mistakes in a file that can be read.

use std::path::Path;

use super::error::{describe, quoted};
use super::frame::{Cells, Column};
use super::looks::{FEW, Look, look};
use crate::Notice;

/// Fields with line breaks, by column. In a table of numbers and names they are rare; mostly a quote stands where none
/// should, and the rows up to the next quote are in one field.
pub(super) struct LineBreaks(Vec<Option<Broken>>);

struct Broken {
    rows: usize,
    /// The place and the text of the first.
    place: String,
    text: String,
}

impl LineBreaks {
    /// For a table of `columns` columns.
    pub fn new(columns: usize) -> Self {
        Self((0..columns).map(|_| None).collect())
    }

    /// Looks at a field of a column, whose place in the file is computed only where it is told.
    pub fn look(&mut self, column: usize, text: &str, place: impl FnOnce() -> String) {
        if !text.contains(['\n', '\r']) {
            return;
        }
        match self.0.get_mut(column) {
            Some(Some(broken)) => broken.rows += 1,
            Some(first @ None) => *first = Some(Broken { rows: 1, place: place(), text: text.to_owned() }),
            None => {}
        }
    }

    /// The remarks about the file at `path` whose columns have these names.
    pub fn notices(self, path: &Path, names: Option<&[String]>) -> Vec<Notice> {
        let columns = self.0.into_iter().enumerate();
        let broken = columns.filter_map(|(column, broken)| Some((describe(names, column), broken?)));
        let said = broken.map(|(column, Broken { rows, place, text })| {
            let others = if rows > 1 { format!(", as {} more have", rows - 1) } else { String::new() };
            format!(
                "{}, {place}, {column}: {} has a line break{others}; if rows are missing, a quote opens there that should \
                 not",
                path.display(),
                quoted(&text)
            )
        });
        let of_names = names.into_iter().flatten().filter(|name| name.contains(['\n', '\r'])).map(|name| {
            format!(
                "{}: the column name {} has a line break; if rows are missing, a quote opens there",
                path.display(),
                quoted(name)
            )
        });
        of_names.chain(said).map(Notice::Warning).collect()
    }
}

/// A warning where the names of the columns look like a row: a number over every column of numbers. Counted columns
/// do not.
pub(super) fn of_header(path: &Path, columns: &[Column]) -> Option<Notice> {
    let numbers = || columns.iter().enumerate().filter(|(_, column)| matches!(column.cells, Cells::Numbers(_)));
    let (_, first) = numbers().next()?;
    let are_numbers = numbers().all(|(_, column)| column.name.parse::<f64>().is_ok());
    let are_counted =
        numbers().all(|(place, column)| [place, place + 1].iter().any(|place| column.name == place.to_string()));
    (are_numbers && !are_counted).then(|| {
        Notice::Warning(format!(
            "{}: the first line is taken for the names of the columns, and {} is one; if it is a row, set \
             `data.header = false`",
            path.display(),
            quoted(&first.name)
        ))
    })
}

/// Likely mistakes in columns of categories: values that are nearly all different, or that are numbers to a person.
pub(super) fn of_categories(columns: &[Column]) -> Vec<Notice> {
    let said = columns.iter().filter_map(|Column { name, cells, named }| {
        let Cells::Categories(words) = cells else { return None };
        let (distinct, rows) = (words.distinct().len(), words.rows().len());
        let is_one_each = rows >= FEW && 2 * distinct > rows;
        let example = words.distinct().iter().find(|word| !word.is_empty())?;
        let look = if *named || distinct < FEW { None } else { common_look(words.distinct()) };
        let advice = match &look {
            Some((_, Look { plain: Some(plain), .. })) => {
                format!("write plain numbers ({plain}), or leave the column out with `data.ignore`")
            }
            Some(_) => "write a number, such as days or seconds since a moment, or leave the column out with \
                        `data.ignore`".to_owned(),
            None => "leave the column out with `data.ignore`".to_owned(),
        };
        let (example, looks) = match &look {
            Some((example, Look { what, .. })) => (*example, format!(", which looks like {what}")),
            None => (example, String::new()),
        };
        let example = quoted(example);
        if is_one_each {
            return Some(format!(
                "column `{name}` has {distinct} different values in {rows} rows, such as {example}{looks}; each becomes a \
                 category of its own, from which nothing is learned about others; {advice}"
            ));
        }
        look.map(|_| format!("column `{name}` is taken for categories, and {example} is one{looks}; {advice}"))
    });
    said.map(Notice::Warning).collect()
}

/// The form of nearly all `words`, with the first of that form.
fn common_look(words: &[String]) -> Option<(&String, Look)> {
    let looks = words.iter().filter(|word| !word.is_empty()).map(|word| (word, look(word)));
    let (mut first, mut like, mut all) = (None, 0, 0);
    for (word, look) in looks {
        all += 1;
        if let Some(look) = look {
            like += 1;
            first.get_or_insert((word, look));
        }
    }
    first.filter(|_| like * 10 >= all * 9)
}

/// The remark about rows whose categories no training row has.
pub(super) fn of_unseen(column: &str, word: &str, count: usize, rows: usize, known: &[String]) -> String {
    let number = |word: &str| word.parse::<f64>().ok();
    let same = |other: &&String| {
        other.to_lowercase() == word.to_lowercase() || number(other).is_some_and(|other| number(word) == Some(other))
    };
    let meant = known.iter().find(same).map(|known| format!(" (they have {})", quoted(known))).unwrap_or_default();
    let example = if word.is_empty() { "a missing one".to_owned() } else { quoted(word) };
    let (example, have) = (example, if count == 1 { "has" } else { "have" });
    format!(
        "{count} of {rows} {have} a value in column `{column}` that no training row has, such as {example}{meant}; the \
         model takes it for none of its categories"
    )
}
