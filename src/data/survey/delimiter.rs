//! Detection of a CSV file's delimiter from its first lines.

use std::io::{BufRead, Read};
use std::path::Path;

use super::super::delimiter::Delimiter;
use super::super::file;

/// Maximal number of bytes and records examined.
const BYTES: u64 = 256 << 10;
const RECORDS: usize = 50;

/// Returns the first delimiter that gives all examined records the same number of columns, and more than one; `None` if
/// there is none. The comma is tried late, because it also occurs in numbers and in text.
pub(super) fn detect(path: &Path, skip_lines: usize) -> Option<Delimiter> {
    let (mut text, _) = file::unpacked(path).ok()?;
    for _ in 0..skip_lines {
        text.skip_until(b'\n').ok()?;
    }
    let mut beginning = Vec::new();
    text.take(BYTES).read_to_end(&mut beginning).ok()?;
    if beginning.len() as u64 == BYTES {
        // The last line may be incomplete.
        let end = beginning.iter().rposition(|&byte| byte == b'\n').unwrap_or(beginning.len());
        beginning.truncate(end);
    }
    [Delimiter::TAB, Delimiter::SEMICOLON, Delimiter::COMMA, Delimiter::BAR]
        .into_iter()
        .find(|delimiter| divides(&beginning, *delimiter))
}

/// Returns the number of lines after which the first records all have the same columns; `None` if that is not so after
/// a few lines.
pub(crate) fn lines_above_table(path: &Path) -> Option<usize> {
    const MOST: usize = 20;
    (1..=MOST).find(|lines| detect(path, *lines).is_some())
}

fn divides(text: &[u8], delimiter: Delimiter) -> bool {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter.byte()).from_reader(text);
    let widths: Vec<usize> =
        reader.byte_records().take(RECORDS).map_while(Result::ok).map(|record| record.len()).collect();
    widths.first().is_some_and(|&first| first > 1 && widths.iter().all(|&width| width == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_divides_every_line_alike() {
        let found = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            detect(file.path(), 0)
        };
        assert_eq!(found("a;b\n1,5;2\n3,0;4\n"), Some(Delimiter::SEMICOLON));
        assert_eq!(found("a\tb\n1\t2, or 3\n"), Some(Delimiter::TAB));
        assert_eq!(found("a,b\n\"1;2\",3\n"), Some(Delimiter::COMMA));
        assert_eq!(found("a|b\n1|2\n"), Some(Delimiter::BAR));
        assert_eq!(found("a\n1\n"), None);
        assert_eq!(found("a,b\n1\n"), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a report\nof today\na,b\n1,2\n").unwrap();
        assert_eq!(lines_above_table(file.path()), Some(2));
    }
}
