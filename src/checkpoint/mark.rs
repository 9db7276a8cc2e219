//! Marker beside a checkpoint in an object store while it is created, replaced or deleted.

use std::fmt;

/// The operation in progress, which determines the clean-up after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Objects without a manifest are an incomplete save or deletion.
    Unfinished,
    /// The checkpoint is being copied to the name with this number. It is still unchanged.
    Copying(u64),
    /// The checkpoint was copied completely to the name with this number, and is being replaced.
    Replacing(u64),
}

impl Mark {
    /// Maximal size of a marker in bytes. A larger object is not one.
    pub(super) const LIMIT: u64 = 100;

    /// Parses a marker. An invalid one is treated as the one with the least information.
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        match text.trim_end().split_once(' ').map(|(word, number)| (word, number.parse())) {
            Some(("copying", Ok(number))) => Self::Copying(number),
            Some(("replacing", Ok(number))) => Self::Replacing(number),
            _ => Self::Unfinished,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => writeln!(f, "unfinished"),
            Self::Copying(number) => writeln!(f, "copying {number}"),
            Self::Replacing(number) => writeln!(f, "replacing {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_as_it_was() {
        for mark in [Mark::Unfinished, Mark::Copying(1), Mark::Replacing(20)] {
            assert_eq!(Mark::parse(mark.to_string().as_bytes()), mark);
        }
        for other in ["", "replacing", "replacing x", "whatever 1"] {
            assert_eq!(Mark::parse(other.as_bytes()), Mark::Unfinished);
        }
    }
}
