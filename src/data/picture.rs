//! A picture in a file: PNG or JPEG, told by its first bytes, as bytes of grey or of red, green and blue.

use std::fmt;
use std::io::Cursor;
use std::path::Path;

use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::error::ImageError;
use super::size::Size;

/// The bytes of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    crate::regular::read(path).map_err(|source| ImageError::Read { path: path.into(), source })
}

/// The size of the image that `bytes` are, of which only the head is looked at.
pub(super) fn size(path: &Path, bytes: &[u8]) -> Result<Size, ImageError> {
    match Kind::of(path, bytes)? {
        Kind::Png => size_of_png(bytes),
        Kind::Jpeg => size_of_jpeg(bytes),
    }
    .map_err(damaged(path))
}

/// The pixels of the image that `bytes` are, row after row, with the channels of `size`, which is otherwise the size
/// that it must have: nothing is unpacked before its head says so. Grey is made of colours as ITU-R BT.601 weighs them,
/// and transparency is left out.
pub(super) fn pixels(path: &Path, bytes: &[u8], size: Size) -> Result<Vec<u8>, ImageError> {
    let found = self::size(path, bytes)?;
    if (found.width, found.height) != (size.width, size.height) {
        return Err(ImageError::OtherSize { path: path.into(), found, expected: size });
    }
    let (pixels, samples) = unpack(path, bytes, found.channels)?;
    let pixels = pixels.chunks_exact(samples);
    let luma = |pixel: &[u8]| {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
        ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
    };
    Ok(match (samples < 3, size.channels) {
        (true, 1) => pixels.map(|pixel| pixel[0]).collect(),
        (true, _) => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        (false, 1) => pixels.map(luma).collect(),
        (false, _) => pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    })
}

/// Refuses an image of this size that is damaged anywhere.
pub(super) fn check(path: &Path, bytes: &[u8], size: Size) -> Result<(), ImageError> {
    unpack(path, bytes, size.channels).map(drop)
}

fn unpack(path: &Path, bytes: &[u8], channels: usize) -> Result<Unpacked, ImageError> {
    match Kind::of(path, bytes)? {
        Kind::Png => unpack_png(bytes),
        Kind::Jpeg => unpack_jpeg(bytes, channels),
    }
    .map_err(damaged(path))
}

enum Kind {
    Png,
    Jpeg,
}

impl Kind {
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            _ => Err(ImageError::NotAnImage { path: path.into(), remedy: "remove it, or convert it" }),
        }
    }
}

fn damaged<E: fmt::Display>(path: &Path) -> impl Fn(E) -> ImageError {
    let path = path.to_owned();
    let remedy = "remove it, or bring a whole one";
    move |error| ImageError::Damaged { path: path.clone(), reason: error.to_string(), remedy }
}

/// Why an image cannot be read.
type Failure = Box<dyn std::error::Error>;

/// Palettes are looked up, and 16 bits become 8.
fn png_reader(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, png::DecodingError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.read_info()
}

fn size_of_png(bytes: &[u8]) -> Result<Size, Failure> {
    let reader = png_reader(bytes)?;
    let (info, channels) = (reader.info(), if reader.output_color_type().0.samples() < 3 { 1 } else { 3 });
    let size = Size { channels, height: info.height as usize, width: info.width as usize };
    // Deflate makes at most 1032 bytes of one: a run of 258 in two bits.
    believable(size, info.raw_bytes() / 1032, bytes)
}

fn size_of_jpeg(bytes: &[u8]) -> Result<Size, Failure> {
    let mut decoder = jpeg(bytes, DecoderOptions::default());
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let channels = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    // Of each block of 8 by 8 the first scan tells something in at least one bit.
    believable(Size { channels, height, width }, width.saturating_mul(height) / (64 * 8), bytes)
}

/// The size that a head speaks of, where the file has the `least` bytes that such an image takes.
fn believable(size: Size, least: usize, bytes: &[u8]) -> Result<Size, Failure> {
    if bytes.len() < least {
        return Err(format!("its head speaks of {size} pixels, which {} bytes cannot hold", bytes.len()).into());
    }
    Ok(size)
}

/// Samples row after row, and how many a pixel has.
type Unpacked = (Vec<u8>, usize);

fn unpack_png(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let mut reader = png_reader(bytes)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut samples)?;
    if (frame.width, frame.height) != reader.info().size() {
        return Err("its first picture has another size than its head speaks of".into());
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

/// Whether the picture has its end. The decoder fills up with grey what a file that is cut short lacks. Segments say
/// how long they are, and what is in one, such as a preview, is passed over; behind the end anything may follow, such
/// as a film.
fn ends(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff)) {
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xd9 => return true,
            // These stand alone: the start, and places to take up a damaged scan. What is in a scan is passed over by
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
        return Err("the file is cut short".into());
    }
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = jpeg(bytes, DecoderOptions::default().jpeg_set_out_colorspace(colours));
    Ok((decoder.decode()?, channels))
}
