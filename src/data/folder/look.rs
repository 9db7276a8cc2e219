//! Examines images before a run begins: identity, size and validity.

use std::path::PathBuf;

use rayon::prelude::*;

use super::listing::Listed;
use crate::data::error::ImageError;
use crate::data::picture;
use crate::data::shaping::Shaping;
use crate::data::size::Size;
use crate::data::{DataError, Fingerprint};

/// A file that was examined.
pub(super) struct Found {
    pub path: PathBuf,
    /// Its class and its name in the class.
    pub name: String,
    pub class: u32,
    pub hash: blake3::Hash,
    pub bytes: u64,
    /// Its size, or why it cannot be used.
    pub size: Result<Size, ImageError>,
}

impl Found {
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { blake3: self.hash.to_hex().to_string(), bytes: self.bytes }
    }
}

/// Reads each file once, for its hash and its header.
///
/// # Errors
/// A file cannot be read: the first in their order.
pub(super) fn at_heads(files: Vec<Listed>) -> Result<Vec<Found>, DataError> {
    let look = |Listed { path, name, class }: Listed| {
        let bytes = picture::read(&path)?;
        let size = picture::size(&path, &bytes).map_err(ImageError::in_training);
        Ok(Found { hash: blake3::hash(&bytes), bytes: bytes.len() as u64, path, name, class, size })
    };
    let found: Vec<Result<Found, ImageError>> = files.into_par_iter().map(look).collect();
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}

/// Decodes every image that may be valid. An image that cannot be decoded loses its size.
///
/// # Errors
/// As [`at_heads`]; or a file has changed since.
pub(super) fn at_pixels<'a>(found: impl Iterator<Item = &'a mut Found>) -> Result<(), DataError> {
    let unpack = |file: &mut Found| {
        let Ok(size) = file.size else { return Ok(()) };
        let bytes = picture::read(&file.path)?;
        if blake3::hash(&bytes) != file.hash {
            return Err(ImageError::Changed { path: file.path.clone() });
        }
        file.size = picture::check(&file.path, &bytes, size).map(|()| size).map_err(ImageError::in_training);
        Ok(())
    };
    let found: Vec<&mut Found> = found.collect();
    let unpacked: Vec<Result<(), ImageError>> = found.into_par_iter().map(unpack).collect();
    Ok(unpacked.into_iter().collect::<Result<_, _>>()?)
}

/// Returns the size of all images after `shaping`, with the number of channels of the first, or as requested.
pub(super) fn size_of_all<'a>(
    found: impl Iterator<Item = &'a Found>,
    channels: Option<usize>,
    shaping: Shaping,
) -> Result<Option<Size>, DataError> {
    let mut whole = found.filter_map(|file| file.size.as_ref().ok().map(|size| (&file.path, *size)));
    let Some((first, unshaped)) = whole.next() else { return Ok(None) };
    let first_size = picture::shaped(first, unshaped, shaping)?;
    let expected = Size { channels: channels.unwrap_or(first_size.channels), ..first_size };
    for (path, size) in whole {
        let size = picture::shaped(path, size, shaping)?;
        if (size.height, size.width) != (expected.height, expected.width) {
            let (path, first) = (path.clone(), first.clone());
            return Err(ImageError::Size { path, found: size, first, expected: first_size }.into());
        }
        if channels.is_none() && size.channels != expected.channels {
            let (path, first, found) = (path.clone(), first.clone(), size.channels);
            return Err(ImageError::Channels { path, found, first, expected: expected.channels }.into());
        }
    }
    Ok(Some(expected))
}

/// Creates the error for the `bad` ones of `all` images: that of a single one, or a list.
pub(super) fn refusal(all: usize, mut bad: Vec<ImageError>) -> ImageError {
    match bad.pop() {
        Some(one) if bad.is_empty() => one,
        last => {
            bad.extend(last);
            ImageError::Several { all, bad }
        }
    }
}
