//! The framing of an event file, that of TFRecord files: the length of a record, the checksum of the length, the record,
//! and its checksum.

use std::io::{self, Read};

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

/// The records of a file, up to the first that is cut off or damaged.
pub(super) struct Records<R> {
    file: R,
    /// Where the next record begins, and where the file ends.
    at: u64,
    length: u64,
    /// From here on, the checksums of the data are compared too.
    verified_from: u64,
    data: Vec<u8>,
}

impl<R: Read> Records<R> {
    /// Reads a file of this length. A kill leaves a record that is cut off, which is always noticed. Other damage, which
    /// a crash of the system leaves in the bytes that were written last, is noticed in the last `verified` bytes.
    pub fn of(file: R, length: u64, verified: u64) -> Self {
        Self { file, at: 0, length, verified_from: length.saturating_sub(verified), data: Vec::new() }
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
        let (length, sum) = header.split_at(8);
        let is_sound = masked(crc32c(length)).to_le_bytes() == sum;
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if !is_sound || length > room - HEADER as u64 - FOOTER {
            return Ok(None);
        }
        self.data.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        self.file.read_exact(&mut self.data)?;
        let mut sum = [0; FOOTER as usize];
        self.file.read_exact(&mut sum)?;
        let end = self.at + HEADER as u64 + length + FOOTER;
        if end > self.verified_from && masked(crc32c(&self.data)).to_le_bytes() != sum {
            return Ok(None);
        }
        self.at = end;
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

    fn read(file: &[u8], verified: u64) -> Vec<Vec<u8>> {
        let mut records = Records::of(file, file.len() as u64, verified);
        let mut found = Vec::new();
        while let Some(data) = records.next().unwrap() {
            found.push(data.to_vec());
        }
        found
    }

    /// The first record of an event file that TensorBoard's own writer has made.
    #[test]
    fn a_record_has_the_bytes_that_tensorboard_writes() {
        let made = include_bytes!("../../../../tests/data/tensorboard/kinds.tfevents");
        let first = read(made, u64::MAX).swap_remove(0);
        let framed = file(&[&first]);
        assert_eq!(framed, made[..framed.len()]);
        assert!(first.ends_with(b"brain.Event:2"));
    }

    #[test]
    fn of_a_file_that_is_cut_anywhere_the_whole_records_are_read() {
        let whole = file(&[b"one", b"", b"three"]);
        for end in 0..whole.len() {
            let count = [19, 35, 56].into_iter().filter(|&whole| whole <= end).count();
            assert_eq!(read(&whole[..end], u64::MAX).len(), count, "{end}");
        }
        assert_eq!(read(&whole, u64::MAX), [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn reading_ends_at_a_damaged_record() {
        let whole = file(&[b"one", b"two", b"three"]);
        for at in 19..38 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged, u64::MAX), [b"one"], "{at}");
        }
        // Data far from the end is not looked at.
        let mut damaged = whole;
        damaged[19 + 12] ^= 1;
        assert_eq!(read(&damaged, 4).len(), 3);
    }
}
