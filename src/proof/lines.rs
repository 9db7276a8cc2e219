//! Logs of two runs, compared line by line.

use std::fs;
use std::path::Path;

use super::files::FileDigests;

/// The first line in which a text file of two runs differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineDifference {
    /// The file's path in the run directory.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The line of the uninterrupted run; `None` where its file has ended.
    pub whole: Option<String>,
    /// The line of the run with kills.
    pub killed: Option<String>,
}

/// Largest file that is read as text.
const LARGEST: u64 = 64 << 20;
/// Most characters of a line that are told.
const WIDEST: usize = 200;

/// Returns the first difference in each of the files that differ and are text.
pub(super) fn compare(whole: &Path, killed: &Path, files: &[FileDigests]) -> Vec<LineDifference> {
    let unlike = files.iter().filter(|file| !file.are_same() && file.whole.is_some() && file.killed.is_some());
    unlike
        .filter_map(|file| first(&file.name, &text(&whole.join(&file.name))?, &text(&killed.join(&file.name))?))
        .collect()
}

fn text(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    if is_small { String::from_utf8(fs::read(path).ok()?).ok() } else { None }
}

fn first(name: &str, whole: &str, killed: &str) -> Option<LineDifference> {
    let (mut a, mut b) = (whole.lines(), killed.lines());
    for line in 1.. {
        let (one, other) = (a.next(), b.next());
        if one.is_none() && other.is_none() {
            break;
        }
        if one != other {
            let cut = |text: Option<&str>| text.map(|text| text.chars().take(WIDEST).collect::<String>());
            return Some(LineDifference { name: name.to_owned(), line, whole: cut(one), killed: cut(other) });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_told() {
        let found = first("log.csv", "1, 0.5\n2, 0.4\n", "1, 0.5\n2, 0.3\n").unwrap();
        assert_eq!((found.line, found.whole.as_deref(), found.killed.as_deref()), (2, Some("2, 0.4"), Some("2, 0.3")));
        let longer = first("log.csv", "1\n", "1\n1\n").unwrap();
        assert_eq!((longer.line, longer.whole, longer.killed.as_deref()), (2, None, Some("1")));
        assert_eq!(first("log.csv", "1\n", "1\n"), None);
    }
}
