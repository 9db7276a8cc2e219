//! Images unpacked into samples, and the size that their headers say: PNG here, `jpeg.rs`, `bmp.rs`,
//! and `others.rs`.

mod bmp;
mod jpeg;
mod others;

use std::io::Cursor;

use png::{ColorType, Transformations};

use super::picture::{Failure, Kind};
use super::size::Size;

/// Samples row after row, and the number of samples per pixel.
pub(super) type Unpacked = (Vec<u8>, usize);

/// Returns the size of the image in `bytes`, from its header only.
pub(super) fn size(kind: Kind, bytes: &[u8]) -> Result<Size, Failure> {
    match kind {
        Kind::Png => size_of_png(bytes),
        Kind::Jpeg => jpeg::size(bytes),
        Kind::WebP => others::size_of_webp(bytes),
        Kind::Bmp => bmp::size(bytes),
        Kind::Gif => others::size_of_gif(bytes),
    }
}

/// The samples of the image that `bytes` are, whose head speaks of this many `channels`.
pub(super) fn unpack(kind: Kind, bytes: &[u8], channels: usize) -> Result<Unpacked, Failure> {
    match kind {
        Kind::Png => unpack_png(bytes),
        Kind::Jpeg => jpeg::unpack(bytes, channels),
        Kind::WebP => others::unpack_webp(bytes),
        Kind::Bmp => bmp::unpack(bytes),
        Kind::Gif => others::unpack_gif(bytes),
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

/// Returns the size in the header, if the file has the `least` number of bytes that such an image needs.
fn believable(size: Size, least: usize, bytes: &[u8]) -> Result<Size, Failure> {
    if bytes.len() < least {
        return Err(Failure::damaged(&format!(
            "its header says {size} pixels, which {} bytes cannot hold",
            bytes.len()
        )));
    }
    Ok(size)
}

fn unpack_png(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let mut reader = png_reader(bytes)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut samples)?;
    if (frame.width, frame.height) != reader.info().size() {
        return Err(Failure::damaged("its first picture has another size than its header says"));
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

/// Maximal number of pixels, as in Pillow: these formats pack any number of equal pixels into a few bytes.
const PIXELS: usize = 178_956_970;

/// Returns a size that is not too large to be an image.
fn reasonable(size: Size) -> Result<Size, Failure> {
    if size.height.saturating_mul(size.width) > PIXELS {
        return Err(Failure::damaged(&format!("its header says {size} pixels, more than {PIXELS}")));
    }
    Ok(size)
}
