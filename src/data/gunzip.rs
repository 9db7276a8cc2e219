//! Gzip decompression that accepts what `gzip -t` accepts: consecutive members, and zeros after the last one, which
//! tapes and archives use as padding. Other data after a member is an error.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a gzip file.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The decompressed content of `R`.
pub(super) struct Gunzip<R: BufRead>(State<R>);

enum State<R: BufRead> {
    /// Inside a member.
    Member(Box<GzDecoder<R>>),
    /// After the last one.
    Ended,
}

impl<R: BufRead> Gunzip<R> {
    pub fn new(packed: R) -> Self {
        Self(State::Member(Box::new(GzDecoder::new(packed))))
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let State::Member(member) = &mut self.0 else { return Ok(0) };
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let State::Member(member) = std::mem::replace(&mut self.0, State::Ended) else { return Ok(0) };
            let mut packed = member.into_inner();
            match packed.fill_buf()?.first() {
                None => {}
                Some(0) => require_zeros(&mut packed)?,
                Some(_) => self.0 = State::Member(Box::new(GzDecoder::new(packed))),
            }
        }
    }
}

fn require_zeros(packed: &mut impl BufRead) -> io::Result<()> {
    loop {
        let rest = packed.fill_buf()?;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|&byte| byte != 0) {
            let message = "after its end it has bytes that are neither zeros nor gzip";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let length = rest.len();
        packed.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        // In small pieces, so that the data after a member is not in the same buffer.
        Gunzip::new(io::BufReader::with_capacity(7, bytes)).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn members_follow_each_other_and_zeros_fill_up() {
        let (one, two) = (gzip("one"), gzip("two"));
        for zeros in [0, 1, 5, 512, 100_000] {
            assert_eq!(unpacked(&[&one[..], &two, &vec![0; zeros]].concat()).unwrap(), "onetwo");
        }
        assert_eq!(unpacked(&gzip("")).unwrap(), "");
    }

    #[test]
    fn anything_else_behind_a_member_is_an_error() {
        let one = gzip("one");
        for rest in [&b"x"[..], b"\0\0x", b"\x1f", &[&[0; 9], &one[..]].concat(), &one[..one.len() - 1]] {
            assert!(unpacked(&[&one, rest].concat()).is_err(), "{rest:?}");
        }
        assert!(unpacked(&one[..one.len() - 1]).is_err());
    }
}
