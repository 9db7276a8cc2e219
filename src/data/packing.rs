//! How a file is packed, by its first bytes.

use std::io::{BufRead, BufReader, Read};

use super::{gunzip, unzstd};

/// The number of first bytes that tell.
const HEAD: usize = 10;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
    /// In a way that is not read: its name, and how it is unpacked.
    Other(&'static str, &'static str),
}

impl Packing {
    /// Returns the packing of a file that begins with `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            _ if bytes.starts_with(&gunzip::MAGIC) => Self::Gzip,
            _ if bytes.starts_with(&unzstd::MAGIC) => Self::Zstd,
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Other("an xz file", "unpack it with `xz -dk`"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
                Self::Other("a bzip2 file", "unpack it with `bzip2 -dk`")
            }
            [b'P', b'K', 3, 4, ..] => {
                Self::Other("a zip file, such as an archive or a workbook", "unpack it, or save the sheet as CSV")
            }
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::Other("a 7z archive", "unpack it with `7z x`"),
            [4, 0x22, 0x4d, 0x18, ..] => Self::Other("an lz4 file", "unpack it with `lz4 -dk`"),
            _ => Self::None,
        }
    }

    /// Returns the packing of a file from its reader, without reading on.
    pub fn of_reader(file: &mut impl BufRead) -> std::io::Result<Self> {
        let head = file.fill_buf()?;
        Ok(Self::of(&head[..head.len().min(HEAD)]))
    }

    /// Whether its content differs from the file's bytes.
    pub fn is_packed(self) -> bool {
        matches!(self, Self::Gzip | Self::Zstd)
    }

    /// Returns the unpacked content.
    pub fn unpack<'a>(self, file: impl BufRead + 'a) -> Box<dyn BufRead + 'a> {
        match self {
            Self::None | Self::Other(..) => Box::new(file),
            Self::Gzip => Box::new(BufReader::new(gunzip::Gunzip::new(file))),
            Self::Zstd => Box::new(BufReader::new(unzstd::Unzstd::new(file))),
        }
    }

    /// Returns the name of its format for a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Other(name, _) => name,
        }
    }

    /// Returns the unpacked content of a file in memory, read in pieces.
    pub fn unpack_bytes<'a>(self, bytes: &'a [u8]) -> Box<dyn Read + 'a> {
        match self {
            Self::None | Self::Other(..) => Box::new(bytes),
            Self::Gzip => Box::new(gunzip::Gunzip::new(bytes)),
            Self::Zstd => Box::new(unzstd::Unzstd::new(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_file_is_known_by_its_first_bytes_and_not_by_its_text() {
        assert_eq!(Packing::of(b"\x1f\x8b\x08"), Packing::Gzip);
        assert_eq!(Packing::of(b"\x28\xb5\x2f\xfd"), Packing::Zstd);
        for (bytes, name) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh91AY&SY", "bzip2"), (b"PK\x03\x04", "zip")] {
            assert!(Packing::of(bytes).name().contains(name));
        }
        for text in [&b""[..], b"BZh9 is a name", b"PK,a,b\n", b"PAR1", b"7z,1\n"] {
            assert_eq!(Packing::of(text), Packing::None);
        }
    }
}
