//! Python's pickles, protocols 0 to 5, read as data: a [`Tree`](crate::peers::tree::Tree) of values with references.
//! No code is run.
//!
//! A pickle is a program for a small stack machine (`machine`), whose results may be instances of any class and returns
//! of any function. Here a class or function is only a name (`names`): a few are understood (`calls`, `tensors`,
//! `arrays`), those that could run or open something refuse the file, and the others stay as named objects.
//!
//! Memory and time are proportional to the input. The memo refers to values by place, so a file cannot grow by naming
//! one value many times, and whatever copies a value is charged to a budget.

mod arrays;
mod calls;
mod instances;
mod integer;
mod machine;
mod names;
mod opcode;
mod scalars;
mod stack;
mod tensors;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use machine::read;

use super::super::error::PeerError;
use super::super::tensor::Storage;

/// Reason not to read a pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not what its format says.
    Damaged(String),
    /// It may be valid, but holds something that is not read.
    Unsupported(String),
}

impl Refusal {
    /// Returns the error for the file at `path`.
    pub fn at(self, path: &Path) -> PeerError {
        match self {
            Self::Damaged(what) => PeerError::damaged(path, what),
            Self::Unsupported(what) => PeerError::unsupported(path, what),
        }
    }

    /// Returns the same with the place in front of it.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::Damaged(what) => Self::Damaged(format!("{place}: {what}")),
            Self::Unsupported(what) => Self::Unsupported(format!("{place}: {what}")),
        }
    }
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self::Damaged(what)
    }
}

/// A storage that a pickle refers to: the numbers are elsewhere in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its key in the file.
    pub key: &'a str,
    /// Its number of elements.
    pub elements: usize,
    /// Bytes of an element.
    pub element_bytes: usize,
}

/// The numbers that belong to a pickle.
pub trait Storages {
    /// Returns a storage; `None` where only the structure is asked for, and tensors are left out.
    ///
    /// # Errors
    /// It is not there, or has another size.
    fn storage(&mut self, wanted: Wanted<'_>) -> Result<Option<Arc<Storage>>, Refusal>;
}

/// No storages, for pickles that are all of a file.
#[derive(Debug)]
pub struct NoStorages;

impl Storages for NoStorages {
    fn storage(&mut self, wanted: Wanted<'_>) -> Result<Option<Arc<Storage>>, Refusal> {
        Err(Refusal::Damaged(format!("tensors refer to a storage {:?}, and the file has no storages", wanted.key)))
    }
}
