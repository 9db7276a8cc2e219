//! What is said of a table before a run begins: whatever looks like a mistake in it although it can be read.

use std::path::Path;

use super::columns::describe;
use super::error::quoted;
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
    /// For a table of so many columns.
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

    /// What there is to say, of the file at `path` whose columns have these names.
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
