//! Images of other sizes, brought to one: resized, then cropped.
//!
//! The pixels are those of Pillow's `resize` with its bilinear filter, which torchvision's `Resize` uses for images of
//! Pillow, bit for bit: `src/libImaging/Resample.c` of Pillow 13, whose filter widens with the scale and whose weights
//! are whole numbers. No library for Rust has these bits, and integers are the same on every processor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::Size;

/// The size that images are resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "the length of the shorter side, or [height, width]")]
#[non_exhaustive]
pub enum Resize {
    /// The length of the shorter side; the other one keeps the proportions, rounded down.
    Shorter(Side),
    /// Height and width.
    Sides([Side; 2]),
}

/// The part in the middle of images that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "the length of both sides, or [height, width]")]
#[non_exhaustive]
pub enum Crop {
    /// The length of both sides.
    Square(Side),
    /// Height and width.
    Sides([Side; 2]),
}

/// The length of a side in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Side(u16);

impl TryFrom<u32> for Side {
    type Error = &'static str;

    fn try_from(pixels: u32) -> Result<Self, Self::Error> {
        match u16::try_from(pixels) {
            Ok(pixels) if (1..=16384).contains(&pixels) => Ok(Self(pixels)),
            _ => Err("must be a number of pixels from 1 to 16384"),
        }
    }
}

impl From<Side> for u32 {
    fn from(side: Side) -> Self {
        side.0.into()
    }
}

impl JsonSchema for Side {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Side".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "minimum": 1, "maximum": 16384})
    }
}

impl Side {
    fn pixels(self) -> usize {
        self.0.into()
    }
}

/// How images are brought to one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shaping {
    pub resize: Option<Resize>,
    pub crop: Option<Crop>,
}

impl Shaping {
    /// Whether images keep their sizes.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Returns the size of an image of this size before the crop.
    fn resized(self, size: Size) -> Size {
        match self.resize {
            None => size,
            Some(Resize::Sides([height, width])) => Size { height: height.pixels(), width: width.pixels(), ..size },
            Some(Resize::Shorter(side)) => {
                let side = side.pixels();
                let (height, width) = (size.height.max(1), size.width.max(1));
                let longer = |longer: usize, shorter: usize| (side * longer / shorter).max(1);
                if width <= height {
                    Size { height: longer(height, width), width: side, ..size }
                } else {
                    Size { height: side, width: longer(width, height), ..size }
                }
            }
        }
    }

    /// Returns the size that an image of this size gets; `None` if the crop is larger.
    pub fn size(self, size: Size) -> Option<Size> {
        let resized = self.resized(size);
        let (height, width) = match self.crop {
            None => return Some(resized),
            Some(Crop::Square(side)) => (side.pixels(), side.pixels()),
            Some(Crop::Sides([height, width])) => (height.pixels(), width.pixels()),
        };
        (height <= resized.height && width <= resized.width).then_some(Size { height, width, ..resized })
    }

    /// Returns the pixels of an image of `size` in its new size; `None` if the crop is larger.
    pub fn apply(self, pixels: Vec<u8>, size: Size) -> Option<Vec<u8>> {
        let (resized, last) = (self.resized(size), self.size(size)?);
        let pixels = if resized == size { pixels } else { resize(&pixels, size, resized) };
        if last == resized {
            return Some(pixels);
        }
        // torchvision's `CenterCrop`, which rounds half a pixel to an even number.
        let (top, left) = (half(resized.height - last.height), half(resized.width - last.width));
        let row = resized.width * size.channels;
        let rows = pixels.chunks_exact(row).skip(top).take(last.height);
        let part = left * size.channels..(left + last.width) * size.channels;
        Some(rows.filter_map(|row| row.get(part.clone())).flatten().copied().collect())
    }
}

/// Returns half of a number, rounded to an even one.
fn half(number: usize) -> usize {
    number / 2 + usize::from(number % 4 == 3)
}

/// Number of bits after the point of a weight.
const BITS: u32 = 32 - 8 - 2;

/// The pixels along a side that make one new pixel, and their weights.
struct Weights {
    first: usize,
    weights: Vec<i32>,
}

impl Weights {
    /// Returns the weighted sum of pixels along the side, rounded to a byte.
    fn sum(&self, pixel: impl Fn(usize) -> u8) -> u8 {
        let start = 1_i32 << (BITS - 1);
        let sum =
            self.weights.iter().enumerate().fold(start, |sum, (at, weight)| {
                sum.wrapping_add(i32::from(pixel(self.first + at)).wrapping_mul(*weight))
            });
        (sum >> BITS).clamp(0, 255) as u8
    }
}

/// Returns the weights of each of the `new` pixels along a side of `old` ones: Pillow's `precompute_coeffs` and
/// `normalize_coeffs_8bpc` for the triangle filter.
fn weights(old: usize, new: usize) -> Vec<Weights> {
    let scale = old as f64 / new as f64;
    let support = scale.max(1.0);
    let inverse = 1.0 / support;
    let of = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        // A conversion to an integer of a negative number is 0, as Pillow's limit is.
        let first = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(old);
        let triangle = |x: f64| if x.abs() < 1.0 { 1.0 - x.abs() } else { 0.0 };
        let raw: Vec<f64> = (first..end).map(|at| triangle((at as f64 - center + 0.5) * inverse)).collect();
        let sum: f64 = raw.iter().sum();
        let whole = |weight: f64| {
            let weight = if sum == 0.0 { weight } else { weight / sum };
            (0.5 + weight * f64::from(1_u32 << BITS)) as i32
        };
        Weights { first, weights: raw.into_iter().map(whole).collect() }
    };
    (0..new).map(of).collect()
}

/// Resizes rows and columns, each rounded to bytes: as in Pillow 13, columns first if the height shrinks by more than
/// twice as many pixels as the width.
fn resize(pixels: &[u8], old: Size, new: Size) -> Vec<u8> {
    let shrinks = |old: usize, new: usize| old as i64 - new as i64;
    let (by_height, by_width) = (shrinks(old.height, new.height), shrinks(old.width, new.width));
    if by_height > 0 && by_height > 2 * by_width {
        let shorter = resize_columns(pixels, old, new.height);
        return resize_rows(&shorter, Size { height: new.height, ..old }, new.width);
    }
    let narrower = resize_rows(pixels, old, new.width);
    resize_columns(&narrower, Size { width: new.width, ..old }, new.height)
}

fn resize_rows(pixels: &[u8], size: Size, width: usize) -> Vec<u8> {
    let channels = size.channels;
    if size.width == width {
        return pixels.to_vec();
    }
    let weights = weights(size.width, width);
    let mut made = Vec::with_capacity(size.height * width * channels);
    for row in pixels.chunks_exact(size.width * channels) {
        for weights in &weights {
            for channel in 0..channels {
                made.push(weights.sum(|at| row.get(at * channels + channel).copied().unwrap_or(0)));
            }
        }
    }
    made
}

fn resize_columns(pixels: &[u8], size: Size, height: usize) -> Vec<u8> {
    if size.height == height {
        return pixels.to_vec();
    }
    let row = size.width * size.channels;
    let mut made = Vec::with_capacity(height * row);
    for weights in weights(size.height, height) {
        for place in 0..row {
            made.push(weights.sum(|at| pixels.get(at * row + place).copied().unwrap_or(0)));
        }
    }
    made
}
