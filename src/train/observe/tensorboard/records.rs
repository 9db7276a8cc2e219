//! The framing of an event file, that of TFRecord files: the length of a record, the checksum of the length, the record,
//! and its checksum.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::crc32c::crc32c;

/// Bytes before a record.
const HEADER: usize = 12;
/// Bytes after a record.
const FOOTER: u64 = 4;

/// Appends `data` as a record.
pub(super) fn append(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(crc32c(&length)).to_le_bytes());
    file.extend(data);
    file.extend(masked(crc32c(data)).to_le_bytes());
}

/// A checksum as it is stored: TensorFlow masks it, because the checksum of data with checksums in it would be weak.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Returns where the first record begins of those that begin from byte `from` to before byte `to`, in a file of this
/// length; `None` if there is none. The checksum of a length tells a record: bytes in the middle of one pass for another
/// with a probability of 2^-32.
pub(super) fn first_between(file: &File, from: u64, to: u64, length: u64) -> io::Result<Option<u64>> {
    let end = to.saturating_add(HEADER as u64 - 1).min(length);
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(from)).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    let places = bytes.windows(HEADER).zip(from..);
    let begins = |header: &[u8], at: u64| {
        let room = length.saturating_sub(at + HEADER as u64 + FOOTER);
        length_in(header).is_some_and(|length| length <= room)
    };
    Ok(places.into_iter().find(|(header, at)| begins(header, *at)).map(|(_, at)| at))
}

/// Returns the length in the header of a record, if its checksum is right.
fn length_in(header: &[u8]) -> Option<u64> {
    let (length, sum) = header.split_first_chunk::<8>()?;
    (masked(crc32c(length)).to_le_bytes() == sum).then(|| u64::from_le_bytes(*length))
}

/// The records of a file, up to the first that is cut off or damaged.
pub(super) struct Records<R> {
    file: R,
    /// Where the next record begins, and where the file ends.
    at: u64,
    length: u64,
    data: Vec<u8>,
}

impl<R: Read> Records<R> {
    /// Reads a file of this length from byte `at` on, where a record begins.
    pub fn of(file: R, at: u64, length: u64) -> Self {
        Self { file, at, length, data: Vec::new() }
    }

    /// Where the records that were read end.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Returns the next whole record.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let room = self.length - self.at;
        if room < HEADER as u64 + FOOTER {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.file.read_exact(&mut header)?;
        let most = room - HEADER as u64 - FOOTER;
        let Some(length) = length_in(&header).filter(|length| *length <= most) else { return Ok(None) };
        self.data.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        self.file.read_exact(&mut self.data)?;
        let mut sum = [0; FOOTER as usize];
        self.file.read_exact(&mut sum)?;
        if masked(crc32c(&self.data)).to_le_bytes() != sum {
            return Ok(None);
        }
        self.at += HEADER as u64 + length + FOOTER;
        Ok(Some(&self.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(records: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        records.iter().for_each(|data| append(&mut file, data));
        file
    }

    fn read(file: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Records::of(file, 0, file.len() as u64);
        let mut found = Vec::new();
        while let Some(data) = records.next().unwrap() {
            found.push(data.to_vec());
        }
        found
    }

    /// The first record of an event file that all readers of TensorBoard take.
    #[test]
    fn a_record_has_the_bytes_that_tensorboard_reads() {
        let made = include_bytes!("../../../../tests/data/tensorboard/kinds.tfevents");
        let first = read(made).swap_remove(0);
        let framed = file(&[&first]);
        assert_eq!(framed, made[..framed.len()]);
        assert!(first.ends_with(b"brain.Event:2"));
    }

    #[test]
    fn of_a_file_that_is_cut_anywhere_the_whole_records_are_read() {
        let whole = file(&[b"one", b"", b"three"]);
        for end in 0..whole.len() {
            let count = [19, 35, 56].into_iter().filter(|&whole| whole <= end).count();
            assert_eq!(read(&whole[..end]).len(), count, "{end}");
        }
        assert_eq!(read(&whole), [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn a_record_is_found_from_any_place_before_it() {
        let whole = file(&[b"one", b"two", b"three"]);
        let on_disk = tempfile::tempfile().unwrap();
        on_disk.write_all_at(&whole, 0).unwrap();
        let length = whole.len() as u64;
        for from in 0..=length {
            let expected = [0, 19, 38].into_iter().find(|&start| start >= from);
            assert_eq!(first_between(&on_disk, from, length, length).unwrap(), expected, "{from}");
        }
        assert_eq!(first_between(&on_disk, 1, 19, length).unwrap(), None);
        // The last one is cut off.
        assert_eq!(first_between(&on_disk, 20, 59, 58).unwrap(), None);
    }

    #[test]
    fn reading_ends_at_a_damaged_record() {
        let whole = file(&[b"one", b"two", b"three"]);
        for at in 19..38 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged), [b"one"], "{at}");
        }
    }
}
