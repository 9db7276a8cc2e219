//! Decodes an image file: PNG, JPEG, WebP, BMP or GIF, recognized by its first bytes, as bytes of grey or of red, green
//! and blue.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ImageError;
use super::pixels::{self, Unpacked};
use super::shaping::Shaping;
use super::size::Size;

/// How a colour becomes grey: by the weights of ITU-R BT.601, with another rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Grey {
    /// Weights in thousandths, as in runs of earlier versions, which continue with the same bits.
    #[default]
    #[serde(rename = "thousandths")]
    Thousandths,
    /// Weights of 16 bits, as Pillow's `convert("L")` has them.
    #[serde(rename = "16 bits")]
    Bits16,
}

impl Grey {
    fn of(self, [red, green, blue]: [u8; 3]) -> u8 {
        let [red, green, blue] = [red, green, blue].map(u32::from);
        match self {
            Self::Thousandths => ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8,
            Self::Bits16 => ((19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16) as u8,
        }
    }

    /// Whether it is that of earlier versions, which checkpoints do not name.
    pub fn is_usual(&self) -> bool {
        *self == Self::Thousandths
    }
}

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
    pixels::size(Kind::of(path, bytes)?, bytes).map_err(|failure| failure.at(path))
}

/// Decodes the image in `bytes`, row after row, to the channels of `size`, and brings it to that size; without shaping
/// its height and width must be those of `size`, which is checked before decoding. Transparency is dropped.
pub(super) fn pixels(
    path: &Path,
    bytes: &[u8],
    size: Size,
    shaping: Shaping,
    grey: Grey,
) -> Result<Vec<u8>, ImageError> {
    let found = self::size(path, bytes)?;
    let shaped = shaped(path, found, shaping)?;
    if (shaped.width, shaped.height) != (size.width, size.height) {
        return Err(ImageError::OtherSize { path: path.into(), found, expected: size });
    }
    let (samples, per_pixel) = unpack(path, bytes, found.channels)?;
    let pixels = samples.chunks_exact(per_pixel);
    let pixels: Vec<u8> = match (per_pixel < 3, size.channels) {
        (true, 1) | (false, 3) if per_pixel == size.channels => samples,
        (true, 1) => pixels.map(|pixel| pixel[0]).collect(),
        (true, _) => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        (false, 1) => pixels.map(|pixel| grey.of([pixel[0], pixel[1], pixel[2]])).collect(),
        (false, _) => pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    };
    if shaping.is_none() {
        return Ok(pixels);
    }
    let unpacked = Size { channels: size.channels, ..found };
    let short = || Failure::damaged("it has fewer pixels than its header says").at(path);
    if pixels.len() != unpacked.channels * unpacked.height * unpacked.width {
        return Err(short());
    }
    shaping.apply(pixels, unpacked).ok_or_else(short)
}

/// Returns the size that an image of the size `found` gets.
pub(super) fn shaped(path: &Path, found: Size, shaping: Shaping) -> Result<Size, ImageError> {
    shaping.size(found).ok_or_else(|| ImageError::SmallerThanCrop { path: path.into(), found })
}

/// Refuses an image of this size with any damage.
pub(super) fn check(path: &Path, bytes: &[u8], size: Size) -> Result<(), ImageError> {
    unpack(path, bytes, size.channels).map(drop)
}

fn unpack(path: &Path, bytes: &[u8], channels: usize) -> Result<Unpacked, ImageError> {
    pixels::unpack(Kind::of(path, bytes)?, bytes, channels).map_err(|failure| failure.at(path))
}

/// The format of a file, by its first bytes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Png,
    Jpeg,
    WebP,
    Bmp,
    Gif,
}

impl Kind {
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'B', b'M', ..] => Ok(Self::Bmp),
            [b'G', b'I', b'F', b'8', ..] => Ok(Self::Gif),
            _ => Err(ImageError::NotAnImage { path: path.into(), remedy: "remove it, or convert it" }),
        }
    }
}

/// Why an image cannot be read.
pub(super) enum Failure {
    /// It is damaged.
    Damaged(String),
    /// It is of a kind that is not read, given as a sentence.
    #[cfg_attr(not(feature = "images"), allow(dead_code, reason = "no image is read"))]
    Unsupported(String),
}

impl Failure {
    pub fn damaged(reason: &str) -> Self {
        Self::Damaged(reason.to_owned())
    }

    /// Returns the error of the image at `path`.
    fn at(self, path: &Path) -> ImageError {
        let path = path.to_owned();
        match self {
            Self::Damaged(reason) => {
                ImageError::Damaged { path, reason, remedy: "remove it, or replace it with a valid one" }
            }
            Self::Unsupported(reason) => ImageError::Unsupported { path, reason, remedy: "remove it, or convert it" },
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Damaged(error.to_string())
    }
}
