//! A file of tensors of which each process has some: which process writes which bytes.
//!
//! A piece is written by the process that has all of its bytes, and otherwise by the first one, to which the others lend
//! the bytes that it lacks. So no two processes write closer together than a piece, which is more than the blocks in which
//! file systems that several hosts share keep writes apart.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use super::error::CheckpointError;
use super::shared::PIECE;
use super::snapshot::Content;
use super::tensors::{self, Form};
use crate::state::{Dtype, HostTensor};

/// A tensor, and the number of the process that has it.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub rank: usize,
}

/// The bytes of a file, by the process that has them.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    header: Vec<u8>,
    tensors: Vec<Placed>,
}

#[derive(Clone, Debug)]
struct Placed {
    name: String,
    /// Its place in the file.
    bytes: Range<u64>,
    rank: usize,
}

/// Bytes of a tensor that its process lends to the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    pub tensor: String,
    /// Their place in the tensor.
    pub bytes: Range<u64>,
    pub rank: usize,
}

impl Layout {
    /// The file of the part `part` with these tensors.
    pub fn of(part: &str, mut owned: Vec<Owned>) -> Result<Self, CheckpointError> {
        owned.sort_by(|a, b| (Reverse(a.dtype), &a.name).cmp(&(Reverse(b.dtype), &b.name)));
        let form = |owned: &Owned| Form { name: owned.name.clone(), dtype: owned.dtype, shape: owned.shape.clone() };
        let (header, places) = tensors::header_of(part, owned.iter().map(form).collect())?;
        let placed = |(owned, bytes): (Owned, Range<u64>)| Placed { name: owned.name, bytes, rank: owned.rank };
        Ok(Self { header, tensors: owned.into_iter().zip(places).map(placed).collect() })
    }

    fn len(&self) -> u64 {
        self.tensors.last().map_or(self.header.len() as u64, |last| last.bytes.end)
    }

    /// Returns the process that writes each piece of the file.
    pub fn writers(&self) -> Vec<usize> {
        let mut writers: Vec<Option<usize>> = vec![None; self.len().div_ceil(PIECE) as usize];
        let header = (0..self.header.len() as u64, 0);
        let tensors = self.tensors.iter().map(|tensor| (tensor.bytes.clone(), tensor.rank));
        for (bytes, rank) in std::iter::once(header).chain(tensors).filter(|(bytes, _)| !bytes.is_empty()) {
            let pieces = (bytes.start / PIECE) as usize..bytes.end.div_ceil(PIECE) as usize;
            for writer in writers.iter_mut().take(pieces.end).skip(pieces.start) {
                // The first one where several have bytes.
                *writer = Some(writer.map_or(rank, |other| if other == rank { rank } else { 0 }));
            }
        }
        writers.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Returns the bytes that the first process writes and others have, in their order.
    pub fn lent(&self) -> Vec<Lent> {
        let writers = self.writers();
        let of_first = |start: u64| writers.get((start / PIECE) as usize) == Some(&0);
        let mut lent: Vec<Lent> = Vec::new();
        for tensor in self.tensors.iter().filter(|tensor| tensor.rank != 0) {
            let mut start = tensor.bytes.start;
            while start < tensor.bytes.end {
                let end = (start / PIECE + 1).saturating_mul(PIECE).min(tensor.bytes.end);
                if of_first(start) {
                    let bytes = start - tensor.bytes.start..end - tensor.bytes.start;
                    lent.push(Lent { tensor: tensor.name.clone(), bytes, rank: tensor.rank });
                }
                start = end;
            }
        }
        lent
    }

    /// Returns the contents of the file in a process that has `own`, and in the first one what was `lent` to it.
    pub(super) fn contents<'a>(
        &'a self,
        own: &'a BTreeMap<String, HostTensor>,
        lent: &'a [Vec<u8>],
    ) -> Vec<Content<'a>> {
        let mut contents = vec![Content::Here(Cow::Borrowed(self.header.as_slice()))];
        let ranges = self.lent();
        for tensor in &self.tensors {
            let len = tensor.bytes.end - tensor.bytes.start;
            if let Some(own) = own.get(&tensor.name).filter(|own| own.bytes.len() as u64 == len) {
                contents.push(Content::Here(Cow::Borrowed(own.bytes.as_slice())));
                continue;
            }
            let mut end = 0;
            for (range, bytes) in ranges.iter().zip(lent).filter(|(range, _)| range.tensor == tensor.name) {
                contents.push(Content::Elsewhere(range.bytes.start - end));
                contents.push(Content::Here(Cow::Borrowed(bytes.as_slice())));
                end = range.bytes.end;
            }
            contents.push(Content::Elsewhere(len - end));
        }
        contents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(tensors: &[(&str, usize, usize)]) -> Layout {
        let owned = |&(name, len, rank): &(&str, usize, usize)| {
            let (name, dtype, shape) = (name.to_owned(), Dtype::U8, vec![len]);
            Owned { name, dtype, shape, rank }
        };
        Layout::of("optimizer", tensors.iter().map(owned).collect()).unwrap()
    }

    /// Pieces have 1,024 bytes here.
    #[test]
    fn the_first_process_writes_what_is_not_of_one_process_alone() {
        let layout = layout(&[("a", 3000, 1), ("b", 10, 2), ("c", 3000, 2), ("d", 0, 1)]);
        let header = layout.header.len() as u64;
        assert!(header < 1024);
        // The header and `a`, `a` alone, `a` with `b` and `c`, `c` alone.
        assert_eq!(layout.writers(), [0, 1, 1, 0, 2, 2, 2]);
        let lent = |tensor: &str, bytes, rank| Lent { tensor: tensor.to_owned(), bytes, rank };
        let c = 4096 - header - 3010;
        let expected = [
            lent("a", 0..1024 - header, 1),
            lent("a", 3072 - header..3000, 1),
            lent("b", 0..10, 2),
            lent("c", 0..c, 2),
        ];
        assert_eq!(layout.lent(), expected);
    }
}
