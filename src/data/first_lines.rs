//! Features of a CSV file that its first lines show: the character between columns, comments, and the decimal mark.

use std::io::{BufRead, Read};
use std::path::Path;

use csv::StringRecord;

use super::delimiter::{CommentMark, Delimiter};
use super::file;
use super::options::Decimal;

/// Maximal number of bytes examined, and of records for the number of columns.
const BYTES: u64 = 256 << 10;
const RECORDS: usize = 50;

/// Characters that begin comments in many files.
const COMMENTS: [CommentMark; 2] = [CommentMark::HASH, CommentMark::PERCENT];

/// The first lines of a file, without those that are skipped.
pub(super) struct FirstLines(Vec<u8>);

impl FirstLines {
    /// Reads them; `None` if the file cannot be read.
    pub fn of(path: &Path, skip_lines: usize) -> Option<Self> {
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
        Some(Self(beginning))
    }

    /// Returns the delimiter that gives all examined records the same number of columns, and more than one; `None` if
    /// there is none. The `usual` one comes before all others, unless it occurs only as a decimal mark.
    pub fn delimiter(&self, comment: Option<CommentMark>, usual: Delimiter) -> Option<Delimiter> {
        let by_usual = self.divides(usual, comment);
        let others = [Delimiter::TAB, Delimiter::SEMICOLON, Delimiter::COMMA, Delimiter::BAR].into_iter();
        let found = others.filter(|other| *other != usual).find(|other| {
            self.divides(*other, comment)
                && (!by_usual || usual == Delimiter::COMMA && self.commas_are_decimal(*other, comment))
        });
        found.or(by_usual.then_some(usual))
    }

    /// Returns the character that begins comments if the records have one number of columns only without these lines.
    pub fn comment(&self, usual: Delimiter) -> Option<CommentMark> {
        if self.delimiter(None, usual).is_some() {
            return None;
        }
        let begins = |mark: &CommentMark| self.0.starts_with(&[mark.byte()]);
        COMMENTS.into_iter().filter(begins).find(|mark| self.delimiter(Some(*mark), usual).is_some())
    }

    /// Returns the decimal mark of the numbers; `None` if no number shows one.
    pub fn decimal(&self, comment: Option<CommentMark>, delimiter: Delimiter) -> Option<Decimal> {
        let (mut commas, mut points) = (false, false);
        for record in self.records(delimiter, comment) {
            for field in record.iter() {
                commas |= has_decimal_comma(field) && !may_be_thousands(field);
                points |= field.contains('.') && field.parse::<f64>().is_ok();
            }
        }
        match (commas, points) {
            (_, true) => Some(Decimal::Point),
            (true, false) => Some(Decimal::Comma),
            (false, false) => None,
        }
    }

    fn records(&self, delimiter: Delimiter, comment: Option<CommentMark>) -> impl Iterator<Item = StringRecord> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).trim(csv::Trim::All).delimiter(delimiter.byte());
        let reader = reader.comment(comment.map(CommentMark::byte)).from_reader(&self.0[..]);
        reader.into_records().map_while(Result::ok)
    }

    fn divides(&self, delimiter: Delimiter, comment: Option<CommentMark>) -> bool {
        let widths: Vec<usize> = self.records(delimiter, comment).take(RECORDS).map(|record| record.len()).collect();
        widths.first().is_some_and(|&first| first > 1 && widths.iter().all(|&width| width == first))
    }

    /// Whether there are commas in the fields between these delimiters, and all are decimal marks.
    fn commas_are_decimal(&self, delimiter: Delimiter, comment: Option<CommentMark>) -> bool {
        let mut found = false;
        for record in self.records(delimiter, comment).take(RECORDS) {
            for field in record.iter().filter(|field| field.contains(',')) {
                if !has_decimal_comma(field) {
                    return false;
                }
                found = true;
            }
        }
        found
    }
}

/// Whether a field is a number with a decimal comma.
fn has_decimal_comma(field: &str) -> bool {
    with_point(field).is_some()
}

/// Returns a number with a decimal comma in plain notation, with a point.
pub(super) fn with_point(field: &str) -> Option<String> {
    let (whole, fraction) = field.split_once(',')?;
    let digits = whole.trim_start_matches(['+', '-']);
    let is_number =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && fraction.starts_with(|c: char| c.is_ascii_digit());
    Some(format!("{whole}.{fraction}")).filter(|plain| is_number && plain.parse::<f64>().is_ok())
}

/// Whether the comma of a number may stand between thousands: `1,500`, but not `0,500`.
fn may_be_thousands(field: &str) -> bool {
    let digits = field.trim_start_matches(['+', '-']);
    let Some((whole, fraction)) = digits.split_once(',') else { return false };
    fraction.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> FirstLines {
        FirstLines(text.as_bytes().to_vec())
    }

    fn delimiter(text: &str) -> Option<Delimiter> {
        lines(text).delimiter(None, Delimiter::COMMA)
    }

    #[test]
    fn a_delimiter_divides_every_line_alike() {
        assert_eq!(delimiter("a;b\n1,5;2\n3,0;4\n"), Some(Delimiter::SEMICOLON));
        assert_eq!(delimiter("a\tb\n1\t2, or 3\n"), Some(Delimiter::TAB));
        assert_eq!(delimiter("a,b\n\"1;2\",3\n"), Some(Delimiter::COMMA));
        assert_eq!(delimiter("a|b\n1|2\n"), Some(Delimiter::BAR));
        assert_eq!(delimiter("a\n1\n"), None);
        assert_eq!(delimiter("a,b\n1\n"), None);
    }

    #[test]
    fn the_usual_delimiter_comes_first_unless_it_is_a_decimal_mark() {
        assert_eq!(delimiter("x;1,2\ny;3,4\n"), Some(Delimiter::SEMICOLON));
        assert_eq!(delimiter("0,5;1,5;2\n1,5;2,5;3\n"), Some(Delimiter::SEMICOLON));
        assert_eq!(delimiter("a; b,1\nc; d,2\n"), Some(Delimiter::COMMA));
        assert_eq!(lines("a,b\n1,2\n").delimiter(None, Delimiter::TAB), Some(Delimiter::COMMA));
        assert_eq!(lines("a;b,c\n1;2,3\n").delimiter(None, Delimiter::SEMICOLON), Some(Delimiter::SEMICOLON));
    }

    #[test]
    fn a_decimal_comma_is_found_where_it_cannot_stand_between_thousands() {
        let decimal = |text: &str| lines(text).decimal(None, Delimiter::SEMICOLON);
        assert_eq!(decimal("a;b\n0,5;1\n"), Some(Decimal::Comma));
        assert_eq!(decimal("a;b\n1,500;-12,25\n"), Some(Decimal::Comma));
        assert_eq!(decimal("a;b\n1,500;2\n"), None);
        assert_eq!(decimal("a;b\n0,5;1.5\n"), Some(Decimal::Point));
        assert_eq!(decimal("a;b\nx,y;1\n"), None);
    }

    #[test]
    fn comments_are_found_only_where_lines_are_uneven_with_them() {
        let comment = |text: &str| lines(text).comment(Delimiter::COMMA);
        assert_eq!(comment("# made today, at noon\n# units: mm\na,b\n1,2\n"), Some(CommentMark::HASH));
        assert_eq!(comment("#a,b\n1,2\n"), None);
        assert_eq!(comment("a,b\n1,2\n"), None);
    }

    #[test]
    fn a_number_with_a_comma_is_written_with_a_point() {
        for (written, plain) in [("0,5", "0.5"), ("-1,25e3", "-1.25e3"), ("+7,0", "+7.0"), (",5", ".5")] {
            assert_eq!(with_point(written).as_deref(), Some(plain));
        }
        for other in ["5", "1,2,3", "a,5", "5,", "1.5", "1 000,5", "1.000,5"] {
            assert_eq!(with_point(other), None, "{other}");
        }
    }
}
