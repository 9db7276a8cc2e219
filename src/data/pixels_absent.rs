//! In the place of `pixels.rs` where the feature `images` is off: `picture::require_decoders` refuses images before.

use super::picture::{Kind, Size};

/// Why an image cannot be read.
pub(super) type Failure = &'static str;

/// Samples row after row, and how many a pixel has.
pub(super) type Unpacked = (Vec<u8>, usize);

const ABSENT: Failure = "this program was built without the feature `images`";

pub(super) fn size(_: Kind, _: &[u8]) -> Result<Size, Failure> {
    Err(ABSENT)
}

pub(super) fn unpack(_: Kind, _: &[u8], _: usize) -> Result<Unpacked, Failure> {
    Err(ABSENT)
}
