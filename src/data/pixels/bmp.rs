//! BMP: palettes of 1 to 8 bits, and colours of 16, 24 and 32 bits, from the top or from the bottom; palettes of 4 and 8
//! bits also with run-length encoding.
//!
//! The format is that of Microsoft's `BITMAPINFOHEADER` and its predecessor and successors. Of the libraries for it,
//! zune-bmp 0.5 reads other pixels than Pillow at 1 and 16 bits and fills a truncated file with zeros, and others bring
//! along what no other format here needs.

mod runs;

use super::{Unpacked, reasonable};
use crate::data::picture::Failure;
use crate::data::size::Size;

/// The contents of the header.
struct Header {
    width: usize,
    height: usize,
    from_top: bool,
    bits: usize,
    /// The start of the pixels, and the bytes of a row.
    offset: usize,
    stride: usize,
    palette: Vec<[u8; 3]>,
    /// Which bits of a pixel of 16 or 32 are red, green and blue.
    masks: [u32; 3],
    /// Whether the pixels are runs of equal ones.
    has_runs: bool,
}

impl Header {
    fn of(bytes: &[u8]) -> Result<Self, Failure> {
        let short = |at| u16_at(bytes, at).ok_or_else(truncated);
        let long = |at| u32_at(bytes, at).ok_or_else(truncated);
        let (offset, length) = (long(10)? as usize, long(14)? as usize);
        let is_old = length == 12;
        let (width, height, bits, packing, colours) = if is_old {
            (i32::from(short(18)?), i32::from(short(20)?), short(24)?, 0, 0)
        } else {
            (long(18)?.cast_signed(), long(22)?.cast_signed(), short(28)?, long(30)?, long(46)?)
        };
        let bits = usize::from(bits);
        match packing {
            0..=3 | 6 => {}
            _ => return Err(Failure::Unsupported("it is a BMP of an unusual kind".to_owned())),
        }
        if (!is_old && length < 40) || width <= 0 || height == 0 || ![1, 2, 4, 8, 16, 24, 32].contains(&bits) {
            return Err(Failure::damaged("its header is not that of an image"));
        }
        let has_runs = matches!((packing, bits), (1, 8) | (2, 4));
        if matches!(packing, 1 | 2) && !has_runs {
            return Err(Failure::damaged("its header is not that of an image"));
        }
        let masks = match (packing, bits) {
            (3 | 6, 16 | 32) => [long(54)?, long(58)?, long(62)?],
            (_, 16) => [31 << 10, 31 << 5, 31],
            _ => [0xff << 16, 0xff << 8, 0xff],
        };
        let (width, from_top, height) = (width as usize, height < 0, height.unsigned_abs() as usize);
        let size = reasonable(Size { channels: 3, height, width })?;
        let stride = (size.width * bits).div_ceil(32) * 4;
        let palette = if bits <= 8 { palette(bytes, 14 + length, is_old, bits, colours as usize)? } else { Vec::new() };
        let least = if has_runs { 0 } else { stride.saturating_mul(height) };
        if offset.saturating_add(least) > bytes.len() {
            return Err(truncated());
        }
        Ok(Self { width, height, from_top, bits, offset, stride, palette, masks, has_runs })
    }

    /// Whether it has a palette of greys.
    fn is_grey(&self) -> bool {
        !self.palette.is_empty() && self.palette.iter().all(|[red, green, blue]| red == green && green == blue)
    }

    /// Returns a colour of the palette; black if it has too few.
    fn colour_of(&self, index: usize) -> [u8; 3] {
        self.palette.get(index).copied().unwrap_or([0; 3])
    }

    /// Returns the colour of a pixel in a row.
    fn pixel(&self, row: &[u8], x: usize) -> [u8; 3] {
        let colour = |value: u32| self.masks.map(|mask| scaled(value & mask, mask));
        match self.bits {
            16 => colour(u16_at(row, x * 2).unwrap_or(0).into()),
            24 => row.get(x * 3..x * 3 + 3).map_or([0; 3], |pixel| [pixel[2], pixel[1], pixel[0]]),
            32 => colour(u32_at(row, x * 4).unwrap_or(0)),
            bits => {
                let byte = row.get(x * bits / 8).copied().unwrap_or(0);
                let index = (byte >> (8 - bits - x * bits % 8)) as usize & ((1 << bits) - 1);
                self.colour_of(index)
            }
        }
    }
}

pub(super) fn size(bytes: &[u8]) -> Result<Size, Failure> {
    let header = Header::of(bytes)?;
    Ok(Size { channels: if header.is_grey() { 1 } else { 3 }, height: header.height, width: header.width })
}

pub(super) fn unpack(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let header = Header::of(bytes)?;
    let channels = if header.is_grey() { 1 } else { 3 };
    let mut samples = Vec::with_capacity(header.height * header.width * channels);
    let runs = match header.has_runs {
        true => {
            let pixels = bytes.get(header.offset..).ok_or_else(truncated)?;
            runs::indices(pixels, header.width, header.height, header.bits)?
        }
        false => Vec::new(),
    };
    for y in 0..header.height {
        let place = if header.from_top { y } else { header.height - 1 - y };
        if header.has_runs {
            for &index in runs.iter().skip(place * header.width).take(header.width) {
                samples.extend_from_slice(&header.colour_of(index.into())[..channels]);
            }
            continue;
        }
        let start = header.offset + place * header.stride;
        let row = bytes.get(start..start + header.stride).ok_or_else(truncated)?;
        for x in 0..header.width {
            samples.extend_from_slice(&header.pixel(row, x)[..channels]);
        }
    }
    Ok((samples, channels))
}

/// Reads the colours after the header, each blue first, and filled up to four bytes except in old files.
fn palette(bytes: &[u8], at: usize, is_old: bool, bits: usize, colours: usize) -> Result<Vec<[u8; 3]>, Failure> {
    let count = if (1..=1 << bits).contains(&colours) { colours } else { 1 << bits };
    let width = if is_old { 3 } else { 4 };
    let table = bytes.get(at..at + count * width).ok_or_else(truncated)?;
    Ok(table.chunks_exact(width).map(|colour| [colour[2], colour[1], colour[0]]).collect())
}

/// Returns the part of a pixel under a mask as a byte.
fn scaled(part: u32, mask: u32) -> u8 {
    let shift = mask.trailing_zeros().min(31);
    let (value, most) = (u64::from(part >> shift), u64::from(mask >> shift));
    (value * 255 / most.max(1)) as u8
}

fn truncated() -> Failure {
    Failure::damaged("the file is truncated")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
