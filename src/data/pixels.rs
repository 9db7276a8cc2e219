//! PNG and JPEG unpacked into samples, and the size that their heads say.

use std::io::Cursor;

use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::picture::Kind;
use super::size::Size;

/// The reason why an image cannot be read.
pub(super) type Failure = Box<dyn std::error::Error>;

/// Samples row after row, and the number of samples per pixel.
pub(super) type Unpacked = (Vec<u8>, usize);

/// Returns the size of the image in `bytes`, from its header only.
pub(super) fn size(kind: Kind, bytes: &[u8]) -> Result<Size, Failure> {
    match kind {
        Kind::Png => size_of_png(bytes),
        Kind::Jpeg => size_of_jpeg(bytes),
    }
}

/// The samples of the image that `bytes` are, whose head speaks of this many `channels`.
pub(super) fn unpack(kind: Kind, bytes: &[u8], channels: usize) -> Result<Unpacked, Failure> {
    match kind {
        Kind::Png => unpack_png(bytes),
        Kind::Jpeg => unpack_jpeg(bytes, channels),
    }
}

/// Palettes are resolved, and 16 bits are reduced to 8.
fn png_reader(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, png::DecodingError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.read_info()
}

fn size_of_png(bytes: &[u8]) -> Result<Size, Failure> {
    let reader = png_reader(bytes)?;
    let (info, channels) = (reader.info(), if reader.output_color_type().0.samples() < 3 { 1 } else { 3 });
    let size = Size { channels, height: info.height as usize, width: info.width as usize };
    // Deflate makes at most 1032 bytes from one: a run of 258 in two bits.
    believable(size, info.raw_bytes() / 1032, bytes)
}

fn size_of_jpeg(bytes: &[u8]) -> Result<Size, Failure> {
    let mut decoder = jpeg(bytes, DecoderOptions::default());
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let channels = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    // The first scan has at least one bit for each block of 8 by 8.
    believable(Size { channels, height, width }, width.saturating_mul(height) / (64 * 8), bytes)
}

/// Returns the size in the header, if the file has the `least` number of bytes that such an image needs.
fn believable(size: Size, least: usize, bytes: &[u8]) -> Result<Size, Failure> {
    if bytes.len() < least {
        return Err(format!("its header says {size} pixels, which {} bytes cannot hold", bytes.len()).into());
    }
    Ok(size)
}

fn unpack_png(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let mut reader = png_reader(bytes)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut samples)?;
    if (frame.width, frame.height) != reader.info().size() {
        return Err("its first picture has another size than its header says".into());
    }
    samples.truncate(frame.buffer_size());
    let per_pixel = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed => 3,
        ColorType::Rgba => 4,
    };
    Ok((samples, per_pixel))
}

/// Whether the image has an end marker. The decoder fills the missing part of a truncated file with grey. Segments give
/// their lengths, so their content, such as a preview, is skipped; any data may follow the end, such as a video.
fn ends(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff)) {
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xd9 => return true,
            // Markers without a length: the start, and restart points of a scan. The content of a scan is skipped by
            // the search for the next marker.
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let Some(length) = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) else {
                    return false;
                };
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
    false
}

fn jpeg(bytes: &[u8], options: DecoderOptions) -> JpegDecoder<ZCursor<&[u8]>> {
    JpegDecoder::new_with_options(ZCursor::new(bytes), options.set_strict_mode(true))
}

fn unpack_jpeg(bytes: &[u8], channels: usize) -> Result<Unpacked, Failure> {
    if !ends(bytes) {
        return Err("the file is truncated".into());
    }
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = jpeg(bytes, DecoderOptions::default().jpeg_set_out_colorspace(colours));
    Ok((decoder.decode()?, channels))
}
