//! Zstandard decompression: frames one after another, with frames to skip between them, and each frame's checksum.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The first bytes of a frame.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The decompressed content of `R`. A frame takes memory for its window, of at most 128 MiB.
pub(super) struct Unzstd<R: BufRead> {
    packed: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> Unzstd<R> {
    pub fn new(packed: R) -> Self {
        Self { packed, decoder: FrameDecoder::new(), is_in_frame: false }
    }

    /// Begins the next frame; false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }

    /// Refuses a frame whose content does not have its checksum.
    fn check(&self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(saved), Some(found)) if saved != found => Err(damaged("its checksum does not match")),
            _ => Ok(()),
        }
    }
}

fn damaged(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

impl<R: BufRead> Read for Unzstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame {
                self.is_in_frame = self.begin()?;
                if !self.is_in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.packed, one).map_err(damaged)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.check()?;
            self.is_in_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf one | zstd`, with its checksum.
    const ONE: &[u8] =
        &[0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x03, 0x19, 0x00, 0x00, 0x6f, 0x6e, 0x65, 0xf6, 0xa1, 0x08, 0x24];

    fn unpacked(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Unzstd::new(io::BufReader::with_capacity(5, bytes)).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn frames_follow_each_other_with_others_to_skip() {
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 7, 7, 7];
        assert_eq!(unpacked(ONE).unwrap(), "one");
        assert_eq!(unpacked(&[ONE, &skipped, ONE].concat()).unwrap(), "oneone");
    }

    #[test]
    fn damage_is_an_error() {
        let mut other = ONE.to_vec();
        other[9] = b'0';
        assert!(unpacked(&other).unwrap_err().to_string().contains("checksum"));
        for end in 1..ONE.len() {
            assert!(unpacked(&ONE[..end]).is_err(), "{end}");
        }
        assert!(unpacked(&[ONE, b"more"].concat()).is_err());
        assert!(unpacked(&[ONE, &[0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 7]].concat()).is_err());
    }
}
