//! Decodes an image file: PNG or JPEG, recognized by its first bytes, as bytes of grey or of red, green and blue.

use std::fmt;
use std::path::Path;

use super::error::ImageError;
use super::pixels::{self, Unpacked};
use super::size::Size;

/// Refuses the images at `path` in a program that was built without what reads them.
pub(super) fn require_decoders(path: &Path) -> Result<(), ImageError> {
    if cfg!(feature = "images") { Ok(()) } else { Err(ImageError::NotBuilt { path: path.into() }) }
}

/// Reads the bytes of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    crate::regular::read(path).map_err(|source| ImageError::Read { path: path.into(), source })
}

/// Returns the size of the image in `bytes`, from its header only.
pub(super) fn size(path: &Path, bytes: &[u8]) -> Result<Size, ImageError> {
    pixels::size(Kind::of(path, bytes)?, bytes).map_err(damaged(path))
}

/// Decodes the image in `bytes`, row after row, to the channels of `size`; its height and width must be those of
/// `size`, which is checked before decoding. Grey is computed from colours with the weights of ITU-R BT.601, and
/// transparency is dropped.
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

/// Refuses an image of this size with any damage.
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
    let remedy = "remove it, or replace it with a valid one";
    move |error| ImageError::Damaged { path: path.clone(), reason: error.to_string(), remedy }
}
