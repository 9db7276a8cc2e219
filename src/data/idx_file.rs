//! One IDX file: its header, and its elements of any type.
//!
//! The format is that of Yann LeCun's page on MNIST: two zero bytes, the type of the elements, the number of dimensions,
//! each dimension as 4 bytes with the highest first, then the elements, their highest bytes first as well.

use std::path::{Path, PathBuf};

use super::error::IdxError;
use super::file::DataFile;
use super::images::Samples;
use super::{DataError, Fingerprint, Problem};

/// The type of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Element {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            0x08 => Self::U8,
            0x09 => Self::I8,
            0x0b => Self::I16,
            0x0c => Self::I32,
            0x0d => Self::F32,
            0x0e => Self::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Returns its name in the plural, for a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::U8 => "bytes",
            Self::I8 => "signed bytes",
            Self::I16 => "integers of 16 bits",
            Self::I32 => "integers of 32 bits",
            Self::F32 => "floats of 32 bits",
            Self::F64 => "floats of 64 bits",
        }
    }
}

/// A file that was read.
pub(super) struct IdxFile {
    pub path: PathBuf,
    pub fingerprint: Fingerprint,
    pub element: Element,
    pub dims: Vec<usize>,
    elements: Vec<u8>,
}

impl IdxFile {
    /// Reads the file at `path`, of `what`. The header is checked against the length of the file before memory is
    /// allocated for its elements.
    pub fn read(path: PathBuf, what: &'static str) -> Result<Self, DataError> {
        let DataFile { mut content, fingerprint, .. } = DataFile::read(&path)?;
        let element = match content[..] {
            [0, 0, code, rank, ..] if rank > 0 => Element::of(code),
            _ => None,
        };
        let Some(element) = element else { return Err(magic(&path, what, &content)) };
        let rank = usize::from(content[3]);
        let header = 4 + 4 * rank;
        let (dims, _) = content.get(4..header).unwrap_or_default().as_chunks::<4>();
        let dims: Vec<usize> = dims.iter().map(|dim| u32::from_be_bytes(*dim) as usize).collect();
        let count = dims.first().copied().unwrap_or(0);
        let elements = dims.iter().try_fold(element.bytes() as u128, |all, &dim| all.checked_mul(dim as u128));
        let expected = elements.map_or(u128::MAX, |elements| elements.saturating_add(header as u128));
        if content.len() < header || content.len() as u128 != expected {
            return Err(IdxError::Length { path, end: content.len(), count, what, expected }.into());
        }
        content.drain(..header);
        Ok(Self { path, fingerprint, element, dims, elements: content })
    }

    /// Returns the number of its items.
    pub fn count(&self) -> usize {
        self.dims.first().copied().unwrap_or(0)
    }

    /// Returns the name of the file.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the byte of the file at which an element begins.
    pub fn byte(&self, element: usize) -> usize {
        4 + 4 * self.dims.len() + element * self.element.bytes()
    }

    /// Returns the elements as numbers in 64 bits.
    fn numbers(&self) -> Vec<f64> {
        let of = |piece: &[u8]| {
            let mut high = [0; 8];
            high[..piece.len()].copy_from_slice(piece);
            match self.element {
                Element::U8 => f64::from(high[0]),
                Element::I8 => f64::from(high[0] as i8),
                Element::I16 => f64::from(i16::from_be_bytes([high[0], high[1]])),
                Element::I32 => f64::from(i32::from_be_bytes([high[0], high[1], high[2], high[3]])),
                Element::F32 => f64::from(f32::from_be_bytes([high[0], high[1], high[2], high[3]])),
                Element::F64 => f64::from_be_bytes(high),
            }
        };
        self.elements.chunks_exact(self.element.bytes()).map(of).collect()
    }

    /// Returns the items as images of bytes, or of numbers in any other type, and their shape with channels first.
    pub fn into_images(mut self) -> Result<(Vec<usize>, Samples, Self), DataError> {
        let shape = shape(&self.dims);
        if shape.contains(&0) {
            return Err(IdxError::NoPixels { path: self.path, shape: self.dims[1..].to_vec() }.into());
        }
        let is_last = channels_are_last(&self.dims);
        if self.element == Element::U8 {
            let bytes = std::mem::take(&mut self.elements);
            let bytes = if is_last { channels_first(&bytes, &shape) } else { bytes };
            return Ok((shape, Samples::Bytes(bytes), self));
        }
        let numbers: Vec<f32> = self.numbers().into_iter().map(|number| number as f32).collect();
        if let Some(place) = numbers.iter().position(|number| !number.is_finite()) {
            let byte = self.byte(place);
            return Err(IdxError::NotFinite { path: self.path, byte }.into());
        }
        self.elements = Vec::new();
        let numbers = if is_last { channels_first(&numbers, &shape) } else { numbers };
        Ok((shape, Samples::Numbers(numbers), self))
    }

    /// Returns the items as whole numbers.
    pub fn labels(&self) -> Result<Vec<i64>, DataError> {
        let is_whole = |number: f64| number.fract() == 0.0 && number.abs() < f64::from(u32::MAX);
        let of = |(image, number): (usize, f64)| match is_whole(number) {
            true => Ok(number as i64),
            false => Err(self.wrong_label(image, Problem::NotAClass(number.to_string()))),
        };
        self.numbers().into_iter().enumerate().map(of).collect()
    }

    /// Creates the error of the label of an image.
    pub fn wrong_label(&self, image: usize, problem: Problem) -> DataError {
        IdxError::Label { path: self.path.clone(), image, byte: self.byte(image), problem }.into()
    }
}

/// Returns the shape of an item: a number alone, a row of numbers, a grey image, whose channel the header omits, or an
/// image with channels, which come first.
fn shape(dims: &[usize]) -> Vec<usize> {
    match dims[1.min(dims.len())..] {
        [] => vec![1],
        [height, width] => vec![1, height, width],
        [height, width, channels] if channels_are_last(dims) => vec![channels, height, width],
        ref others => others.to_vec(),
    }
}

/// Whether an item is an image whose last dimension is its colours.
fn channels_are_last(dims: &[usize]) -> bool {
    matches!(dims, [_, _, _, 1 | 3 | 4])
}

/// Moves the channels of each pixel into planes, for images of this shape.
fn channels_first<T: Copy>(samples: &[T], shape: &[usize]) -> Vec<T> {
    let &[channels, height, width] = shape else { return samples.to_vec() };
    let mut planes = Vec::with_capacity(samples.len());
    for image in samples.chunks_exact(channels * height * width) {
        for channel in 0..channels {
            planes.extend(image.iter().skip(channel).step_by(channels));
        }
    }
    planes
}

fn magic(path: &Path, what: &'static str, content: &[u8]) -> DataError {
    let found: Vec<String> = content.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    IdxError::Magic { path: path.into(), what, found: found.join(" ") }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: u8, dims: &[u32], elements: &[u8]) -> Result<IdxFile, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let dims: Vec<u8> = dims.iter().flat_map(|dim| dim.to_be_bytes()).collect();
        let header = [0, 0, code, (dims.len() / 4) as u8];
        std::fs::write(file.path(), [&header[..], &dims, elements].concat()).unwrap();
        IdxFile::read(file.path().to_owned(), "images")
    }

    #[test]
    fn elements_of_every_type_are_numbers() {
        let all: [(u8, Vec<u8>, f64); 6] = [
            (0x08, vec![200], 200.0),
            (0x09, vec![200], -56.0),
            (0x0b, (-300_i16).to_be_bytes().to_vec(), -300.0),
            (0x0c, 70_000_i32.to_be_bytes().to_vec(), 70_000.0),
            (0x0d, 0.5_f32.to_be_bytes().to_vec(), 0.5),
            (0x0e, (-0.25_f64).to_be_bytes().to_vec(), -0.25),
        ];
        for (code, bytes, number) in all {
            assert_eq!(read(code, &[1], &bytes).unwrap().numbers(), [number]);
        }
        assert!(read(0x0a, &[1], &[0]).is_err());
    }

    #[test]
    fn items_of_every_rank_have_a_shape() {
        let shapes: [(&[usize], &[usize]); 6] = [
            (&[9], &[1]),
            (&[9, 5], &[5]),
            (&[9, 4, 6], &[1, 4, 6]),
            (&[9, 4, 6, 3], &[3, 4, 6]),
            (&[9, 3, 4, 6], &[3, 4, 6]),
            (&[9, 2, 3, 4, 5], &[2, 3, 4, 5]),
        ];
        for (dims, expected) in shapes {
            assert_eq!(shape(dims), expected);
        }
    }

    #[test]
    fn the_colours_of_a_pixel_are_moved_into_planes() {
        let (shape, samples, _) = read(8, &[1, 1, 2, 3], &[1, 2, 3, 4, 5, 6]).unwrap().into_images().unwrap();
        assert_eq!((shape, samples), (vec![3, 1, 2], Samples::Bytes(vec![1, 4, 2, 5, 3, 6])));
    }

    #[test]
    fn numbers_that_are_not_finite_and_labels_that_are_no_classes_are_refused_by_their_bytes() {
        let bytes = [1.0_f32, f32::NAN].map(f32::to_be_bytes).concat();
        assert!(read(0x0d, &[2], &bytes).unwrap().into_images().map(drop).unwrap_err().to_string().contains("byte 12"));
        let bytes = [1.0_f32, 1.5].map(f32::to_be_bytes).concat();
        let message = read(0x0d, &[2], &bytes).unwrap().labels().unwrap_err().to_string();
        assert!(message.contains("byte 12") && message.contains("1.5"), "{message}");
        let bytes = [1_i16, -1].map(i16::to_be_bytes).concat();
        assert_eq!(read(0x0b, &[2], &bytes).unwrap().labels().unwrap(), [1, -1]);
    }
}
