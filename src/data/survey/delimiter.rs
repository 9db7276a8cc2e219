//! Detection of a CSV file's delimiter from its first lines.

use std::path::Path;

use super::super::delimiter::Delimiter;
use super::super::first_lines::FirstLines;

/// Returns the delimiter that gives all examined records the same number of columns, and more than one; `None` if there
/// is none.
fn detect(path: &Path, skip_lines: usize) -> Option<Delimiter> {
    FirstLines::of(path, skip_lines)?.delimiter(None, Delimiter::usual(path))
}

/// Returns the number of lines after which the first records all have the same columns; `None` if that is not so after
/// a few lines.
pub(crate) fn lines_above_table(path: &Path) -> Option<usize> {
    const MOST: usize = 20;
    (1..=MOST).find(|lines| detect(path, *lines).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_above_a_table_are_those_before_its_columns() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a report\nof today\na,b\n1,2\n").unwrap();
        assert_eq!(lines_above_table(file.path()), Some(2));
    }
}
