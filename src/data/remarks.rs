//! Remarks about a table before a run begins: likely mistakes in a readable file.

use std::path::Path;

use super::error::{describe, quoted};
use super::frame::{Cells, Column, Frame};
use super::looks::{FEW, Look, look};
use super::options::Decimal;
use crate::Notice;

/// Fields with line breaks, by column. They are rare in tables of numbers and names; usually they come from a stray
/// quote, which joins the rows up to the next quote into one field.
pub(super) struct LineBreaks(Vec<Option<Broken>>);

struct Broken {
    rows: usize,
    /// The place and the text of the first one.
    place: String,
    text: String,
}

impl LineBreaks {
    /// Creates it for a table of `columns` columns.
    pub fn new(columns: usize) -> Self {
        Self((0..columns).map(|_| None).collect())
    }

    /// Checks a field of a column; its place in the file is computed only if needed.
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

    /// Returns the remarks about the file at `path`, whose columns have these names.
    pub fn notices(self, path: &Path, names: Option<&[String]>) -> Vec<Notice> {
        let columns = self.0.into_iter().enumerate();
        let broken = columns.filter_map(|(column, broken)| Some((describe(names, column), broken?)));
        let said = broken.map(|(column, Broken { rows, place, text })| {
            let others = if rows > 1 { format!(", like {} more", rows - 1) } else { String::new() };
            format!(
                "{}, {place}, {column}: {} has a line break{others}; if rows are missing, there is a stray quote",
                path.display(),
                quoted(&text)
            )
        });
        let of_names = names.into_iter().flatten().filter(|name| name.contains(['\n', '\r'])).map(|name| {
            format!(
                "{}: the column name {} has a line break; if rows are missing, there is a stray quote",
                path.display(),
                quoted(name)
            )
        });
        of_names.chain(said).map(Notice::Warning).collect()
    }
}

/// Returns a warning if the column names look like a row: a number above every column of numbers, except consecutive
/// ones; or, without columns of numbers, names that are among the values below them in at least half of the columns. The
/// name of the label counts as well.
pub(super) fn of_header(path: &Path, frame: &Frame) -> Option<Notice> {
    let columns = &frame.columns;
    let label = frame.layout.all.get(frame.layout.label);
    let numbers = || columns.iter().enumerate().filter(|(_, column)| matches!(column.cells, Cells::Numbers(_)));
    let repeated: Vec<&String> = columns
        .iter()
        .filter(|column| matches!(&column.cells, Cells::Categories(words) if words.distinct().contains(&column.name)))
        .map(|column| &column.name)
        .chain(label.filter(|name| frame.classes.as_ref().is_some_and(|classes| classes.contains(name))))
        .collect();
    let example = if numbers().next().is_some() {
        let are_numbers = numbers().all(|(_, column)| column.name.parse::<f64>().is_ok());
        let are_counted =
            numbers().all(|(place, column)| [place, place + 1].iter().any(|place| column.name == place.to_string()));
        let is_row = are_numbers && (!are_counted || !repeated.is_empty());
        is_row.then(|| numbers().next().map(|(_, column)| &column.name)).flatten()
    } else {
        repeated.first().copied().filter(|_| repeated.len() * 2 > columns.len())
    };
    example.map(|name| {
        Notice::Warning(format!(
            "{}: the first line is taken for the names of the columns, and {} is one; it looks like the rows below: if \
             it is one, set `data.header = false`",
            path.display(),
            quoted(name)
        ))
    })
}

/// Returns a warning if the first column is the index that pandas writes: without a name, and consecutive numbers.
pub(super) fn of_index(path: &Path, frame: &Frame) -> Option<Notice> {
    let first = frame.columns.first().filter(|column| frame.layout.all.first() == Some(&column.name))?;
    let Cells::Numbers(numbers) = &first.cells else { return None };
    let is_consecutive = numbers.windows(2).all(|pair| pair[0] + 1.0 == pair[1]);
    (first.name.is_empty() && is_consecutive).then(|| {
        Notice::Warning(format!(
            "{}: the first column has no name and numbers the rows, like the index that pandas writes; ignore it with \
             `data.ignore = [0]`",
            path.display()
        ))
    })
}

/// Returns likely mistakes in columns of categories: values that are nearly all different, or numbers in human
/// notation. Advice is for a file with this decimal mark.
pub(super) fn of_categories(columns: &[Column], decimal: Decimal) -> Vec<Notice> {
    let said = columns.iter().filter_map(|Column { name, cells, named }| {
        let Cells::Categories(words) = cells else { return None };
        let (distinct, rows) = (words.distinct().len(), words.rows().len());
        let is_one_each = rows >= FEW && 2 * distinct > rows;
        let example = words.distinct().iter().find(|word| !word.is_empty())?;
        let look = if *named || distinct < FEW { None } else { common_look(words.distinct(), decimal) };
        let advice = match &look {
            Some((_, Look { plain: Some(plain), .. })) => {
                format!("write plain numbers ({plain}), or ignore the column with `data.ignore`")
            }
            Some(_) => "write a number, such as days or seconds since a moment, or ignore the column with \
                        `data.ignore`"
                .to_owned(),
            None => "ignore the column with `data.ignore`".to_owned(),
        };
        let (example, looks) = match &look {
            Some((example, Look { what, .. })) => (*example, format!(", which looks like {what}")),
            None => (example, String::new()),
        };
        let example = quoted(example);
        if is_one_each {
            return Some(format!(
                "column `{name}` has {distinct} different values in {rows} rows, such as {example}{looks}; each \
                 becomes a separate category, which says nothing about others; {advice}"
            ));
        }
        look.map(|_| format!("column `{name}` is read as categories, such as {example}{looks}; {advice}"))
    });
    said.map(Notice::Warning).collect()
}

/// Returns the form of nearly all `words`, with the first word of that form.
fn common_look(words: &[String], decimal: Decimal) -> Option<(&String, Look)> {
    let looks = words.iter().filter(|word| !word.is_empty()).map(|word| (word, look(word, decimal)));
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

/// Returns the remark about rows with categories that no training row has.
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
         model treats it as unknown"
    )
}
