//! A picture in a file: PNG or JPEG, told by its first bytes, as bytes of grey or of red, green and blue.

use std::fmt;
use std::path::Path;

use super::error::ImageError;
use super::pixels::{self, Unpacked};
use super::size::Size;

/// Refuses the images at `path` in a program that was built without what reads them.
pub(super) fn require_decoders(path: &Path) -> Result<(), ImageError> {
    if cfg!(feature = "images") { Ok(()) } else { Err(ImageError::NotBuilt { path: path.into() }) }
}

/// The bytes of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    crate::regular::read(path).map_err(|source| ImageError::Read { path: path.into(), source })
}

/// The size of the image that `bytes` are, of which only the head is looked at.
pub(super) fn size(path: &Path, bytes: &[u8]) -> Result<Size, ImageError> {
    pixels::size(Kind::of(path, bytes)?, bytes).map_err(damaged(path))
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
    pixels::unpack(Kind::of(path, bytes)?, bytes, channels).map_err(damaged(path))
}

/// The format of a file, by its first bytes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
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
