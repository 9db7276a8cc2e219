//! Compressed bytes: zstd and gzip, never more than the reader asked for.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

/// Largest window of a zstd stream that is shorter than its window: what level 19 asks for.
const WINDOW: u64 = 8 << 20;

/// Returns the content of a zstd stream.
///
/// # Errors
/// It is damaged, or has more than `most` bytes.
pub fn zstd(bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut rest = bytes;
    let mut content = Vec::new();
    // A stream may have several frames.
    while !rest.is_empty() {
        let mut decoder = StreamingDecoder::new_with_max_window_size(&mut rest, WINDOW.max(most as u64))
            .map_err(|error| format!("the zstd stream is damaged: {error}"))?;
        read(&mut decoder, &mut content, most, "zstd")?;
    }
    Ok(content)
}

/// Returns the content of a gzip stream.
///
/// # Errors
/// As [`zstd`].
pub fn gzip(bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    read(&mut MultiGzDecoder::new(bytes), &mut content, most, "gzip")?;
    Ok(content)
}

/// Returns the content of a zlib stream.
///
/// # Errors
/// As [`zstd`].
pub fn zlib(bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    read(&mut ZlibDecoder::new(bytes), &mut content, most, "zlib")?;
    Ok(content)
}

fn read(stream: &mut impl Read, content: &mut Vec<u8>, most: usize, kind: &str) -> Result<(), String> {
    let left = most.saturating_sub(content.len()) as u64;
    let read = stream.take(left.saturating_add(1)).read_to_end(content);
    read.map_err(|error| format!("the {kind} stream is damaged: {error}"))?;
    if content.len() > most {
        return Err(format!("the {kind} stream has more than the {most} bytes that are due"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// 1000 zeros, by `zstd --ultra -22`.
    const ZEROS: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0x60, 0xe8, 0x02, 0x45, 0, 0, 8, 0, 1, 0, 0xe4, 0x2b, 0x20, 4];

    #[test]
    fn a_stream_with_more_than_is_due_is_refused() {
        assert_eq!(zstd(ZEROS, 1000).unwrap(), vec![0; 1000]);
        assert!(zstd(ZEROS, 999).unwrap_err().contains("more than the 999 bytes"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&[7; 1000]).unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(gzip(&bytes, 1000).unwrap(), vec![7; 1000]);
        assert!(gzip(&bytes, 999).is_err());
        assert!(gzip(&bytes[..bytes.len() / 2], 1000).unwrap_err().contains("damaged"));
        assert!(zlib(&bytes, 1000).unwrap_err().contains("damaged"));
    }
}
