//! What stands beside a checkpoint in an object store while it is being made, replaced or deleted.

use std::fmt;

/// What is under way, and therefore what to do about it when whoever did it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Objects without a manifest are a save or a deletion that has not come to its end.
    Unfinished,
    /// What is in the place is being copied to the name with this number. It is still as it was.
    Copying(u64),
    /// What was in the place is whole under the name with this number, and is being replaced.
    Replacing(u64),
}

impl Mark {
    /// A mark of more bytes is none of ours.
    pub(super) const LIMIT: u64 = 100;

    /// Takes a mark in. One that is not understood promises nothing, and is as one that says least.
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
