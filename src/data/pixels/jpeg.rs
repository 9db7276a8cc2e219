//! JPEG: as libjpeg reads it, also where the decoder that is used reads something else.

use memchr::memchr_iter;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Unpacked, believable};
use crate::data::picture::Failure;
use crate::data::size::Size;

pub(super) fn size(bytes: &[u8]) -> Result<Size, Failure> {
    refuse_unsupported(bytes)?;
    let mut decoder = decoder(bytes, DecoderOptions::default());
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let channels = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    // The first scan has at least one bit for each block of 8 by 8.
    believable(Size { channels, height, width }, width.saturating_mul(height) / (64 * 8), bytes)
}

pub(super) fn unpack(bytes: &[u8], channels: usize) -> Result<Unpacked, Failure> {
    refuse_unsupported(bytes)?;
    let Some(end) = end(bytes) else { return Err(Failure::damaged("the file is truncated")) };
    // Data after the end, such as the video of a motion photo, are not part of the image, and may look like markers.
    let whole = bytes.get(..end).unwrap_or(bytes);
    let coloured = as_in_jfif(whole);
    let whole = coloured.as_deref().unwrap_or(whole);
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = decoder(whole, DecoderOptions::default().jpeg_set_out_colorspace(colours));
    Ok((decoder.decode()?, channels))
}

fn decoder(bytes: &[u8], options: DecoderOptions) -> JpegDecoder<ZCursor<&[u8]>> {
    JpegDecoder::new_with_options(ZCursor::new(bytes), options.set_strict_mode(true))
}

/// A marker with a length, and its content.
struct Segment<'a> {
    marker: u8,
    /// The position of the content in the file.
    at: usize,
    content: &'a [u8],
}

/// Returns the markers of a file in order. The content of a scan is skipped by the search for the next marker, and other
/// segments, such as a preview, by their lengths. An item without content is the end of the image.
fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..)?;
            let is_marker = |at: &usize| rest.get(at + 1).is_some_and(|marker| !matches!(marker, 0 | 0xff));
            at += memchr_iter(0xff, rest).find(is_marker)?;
            let marker = *bytes.get(at + 1)?;
            at += 2;
            match marker {
                0xd9 => return Some(Segment { marker, at, content: &[] }),
                // Markers without a length: the start, and restart points of a scan.
                0x01 | 0xd0..=0xd8 => {}
                _ => {
                    let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
                    let content = bytes.get(at + 2..at + length.max(2)).unwrap_or_default();
                    let segment = Segment { marker, at: at + 2, content };
                    at += length;
                    return Some(segment);
                }
            }
        }
    })
}

/// Returns the position after the end marker. The decoder would fill the missing part of a truncated file with grey.
fn end(bytes: &[u8]) -> Option<usize> {
    segments(bytes).find(|segment| segment.marker == 0xd9).map(|segment| segment.at)
}

/// Refuses kinds of JPEG that are valid, and that the decoder does not read.
fn refuse_unsupported(bytes: &[u8]) -> Result<(), Failure> {
    // Frames have the markers from C0 to CF, except for tables.
    let is_frame = |marker: u8| matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
    let Some(frame) = segments(bytes).find(|segment| is_frame(segment.marker)) else { return Ok(()) };
    let what = match (frame.marker, frame.content.first()) {
        (0xc9..=0xcb | 0xcd..=0xcf, _) => "it is a JPEG with arithmetic coding",
        (0xc3, _) => "it is a lossless JPEG",
        (0xc5..=0xc7, _) => "it is a hierarchical JPEG",
        (_, Some(12)) => "it is a JPEG with 12 bits per sample",
        _ => return Ok(()),
    };
    Err(Failure::Unsupported(what.to_owned()))
}

/// Returns the file with the colours that it has for libjpeg: a JFIF file of three channels is YCbCr, whatever a segment
/// of Adobe says, which the decoder believes. `None` if they agree.
fn as_in_jfif(bytes: &[u8]) -> Option<Vec<u8>> {
    const TRANSFORM: usize = 11;
    const YCBCR: u8 = 1;
    let mut is_jfif = false;
    for Segment { marker, at, content } in segments(bytes) {
        match marker {
            0xe0 => is_jfif |= content.starts_with(b"JFIF\0"),
            0xee if is_jfif && content.starts_with(b"Adobe") && content.get(TRANSFORM) == Some(&0) => {
                let mut changed = bytes.to_vec();
                *changed.get_mut(at + TRANSFORM)? = YCBCR;
                return has_three_channels(bytes).then_some(changed);
            }
            0xda | 0xd9 => return None,
            _ => {}
        }
    }
    None
}

fn has_three_channels(bytes: &[u8]) -> bool {
    const CHANNELS: usize = 5;
    segments(bytes).any(|segment| matches!(segment.marker, 0xc0..=0xc2) && segment.content.get(CHANNELS) == Some(&3))
}
