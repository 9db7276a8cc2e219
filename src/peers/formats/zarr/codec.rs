//! Codecs: from the stored bytes of a chunk back to its elements.

use super::chunk::{copy, transposed_back};
use super::metadata::Array;
use crate::crc32c::crc32c;
use crate::peers::formats::compressed::{gzip, zlib, zstd};

/// A step from elements to stored bytes, undone in reverse order.
#[derive(Clone, Debug)]
pub enum Codec {
    /// The order of axes in which elements are stored.
    Transpose(Vec<usize>),
    /// Elements as bytes, in big-endian order or not.
    Bytes {
        /// Whether the highest byte of an element comes first.
        big: bool,
    },
    /// Compressed.
    Zstd,
    /// Compressed.
    Gzip,
    /// Compressed.
    Zlib,
    /// A checksum at the end.
    Crc32c,
    /// Smaller chunks, found by an index.
    Shards {
        /// Lengths of the dimensions of a smaller chunk.
        chunk: Vec<usize>,
        /// From its elements to stored bytes.
        codecs: Vec<Codec>,
        /// Whether the index has a checksum.
        checked: bool,
        /// Whether the index is at the end.
        at_end: bool,
    },
}

/// Returns the elements of a chunk, in little-endian and row-major order.
///
/// # Errors
/// The chunk is damaged.
pub fn decode(array: &Array, stored: &[u8]) -> Result<Vec<u8>, String> {
    undo(array, &array.chunk, &array.codecs, stored)
}

fn undo(array: &Array, shape: &[usize], codecs: &[Codec], stored: &[u8]) -> Result<Vec<u8>, String> {
    let elements: usize = shape.iter().product();
    let due = elements * array.size;
    let mut bytes = stored.to_vec();
    for codec in codecs.iter().rev() {
        bytes = match codec {
            // Checksums and indices of shards may follow what is compressed.
            Codec::Zstd => zstd(&bytes, due + (due >> 4) + 1024)?,
            Codec::Gzip => gzip(&bytes, due + (due >> 4) + 1024)?,
            Codec::Zlib => zlib(&bytes, due + (due >> 4) + 1024)?,
            Codec::Crc32c => checked(&bytes)?.to_vec(),
            Codec::Bytes { big } => {
                if bytes.len() != due {
                    return Err(format!(
                        "a chunk of {elements} elements has {} bytes where {due} are due",
                        bytes.len()
                    ));
                }
                if *big {
                    bytes.chunks_exact_mut(array.size).for_each(<[u8]>::reverse);
                }
                bytes
            }
            Codec::Transpose(order) => transposed_back(&bytes, shape, order, array.size),
            Codec::Shards { chunk, codecs, checked, at_end } => {
                let shard = Shard { chunk, codecs, checked: *checked, at_end: *at_end };
                shard.elements(array, shape, &bytes)?
            }
        };
    }
    Ok(bytes)
}

/// Compares and takes off the checksum at the end.
fn checked(bytes: &[u8]) -> Result<&[u8], String> {
    let (content, sum) = bytes.split_last_chunk::<4>().ok_or("a chunk is shorter than its checksum")?;
    match crc32c(content) == u32::from_le_bytes(*sum) {
        true => Ok(content),
        false => Err("a chunk does not match its CRC-32C".to_owned()),
    }
}

struct Shard<'a> {
    chunk: &'a [usize],
    codecs: &'a [Codec],
    checked: bool,
    at_end: bool,
}

impl Shard<'_> {
    fn elements(&self, array: &Array, shape: &[usize], bytes: &[u8]) -> Result<Vec<u8>, String> {
        let grid: Vec<usize> = shape.iter().zip(self.chunk).map(|(length, chunk)| length / chunk).collect();
        let chunks: usize = grid.iter().product();
        let index_bytes = chunks * 16 + if self.checked { 4 } else { 0 };
        let split = if self.at_end { bytes.len().checked_sub(index_bytes) } else { Some(index_bytes) };
        let (first, last) =
            split.and_then(|at| bytes.split_at_checked(at)).ok_or("a shard is shorter than its index")?;
        let stored_index = if self.at_end { last } else { first };
        let index = if self.checked { checked(stored_index)? } else { stored_index };
        let (places, _) = index.as_chunks::<16>();
        let mut whole = array.fill.repeat(shape.iter().product());
        for (number, place) in places.iter().enumerate() {
            let Some(stored) = part(bytes, place)? else { continue };
            let content = undo(array, self.chunk, self.codecs, stored)?;
            let mut rest = number;
            let mut start = vec![0; grid.len()];
            for axis in (0..grid.len()).rev() {
                start[axis] = rest % grid[axis] * self.chunk[axis];
                rest /= grid[axis];
            }
            copy(&content, self.chunk, &mut whole, shape, &start, self.chunk, array.size);
        }
        Ok(whole)
    }
}

/// Returns the part of a shard that an entry of its index names; `None` where that chunk is not stored.
fn part<'a>(shard: &'a [u8], place: &[u8; 16]) -> Result<Option<&'a [u8]>, String> {
    let (halves, _) = place.as_chunks::<8>();
    let [offset, length] = [0, 1].map(|half: usize| halves.get(half).map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    if (offset, length) == (u64::MAX, u64::MAX) {
        return Ok(None);
    }
    let start = usize::try_from(offset).ok();
    let range = start.zip(usize::try_from(length).ok());
    let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let part = range.and_then(|range| shard.get(range));
    part.map(Some).ok_or_else(|| format!("a shard of {} bytes has no {length} bytes at {offset}", shard.len()))
}
