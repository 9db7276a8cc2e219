//! Images of other sizes, brought to one: resized, then cropped.
//!
//! The pixels are those of Pillow's `resize` with its bilinear filter, which torchvision's `Resize` uses for images of
//! Pillow, bit for bit: `src/libImaging/Resample.c` of Pillow 13, whose filter widens with the scale and whose weights
//! are whole numbers. No library for Rust has these bits, and integers are the same on every processor.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::Size;
use crate::cpu::vectorized;

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
        if last == size && resized == size {
            return Some(pixels);
        }
        // torchvision's `CenterCrop`, which rounds half a pixel to an even number.
        let (top, left) = (half(resized.height - last.height), half(resized.width - last.width));
        let part = Part { rows: top..top + last.height, columns: left..left + last.width };
        if resized != size {
            return Some(resize(&pixels, size, resized, &part));
        }
        let rows = pixels.chunks_exact(size.width * size.channels).skip(top).take(last.height);
        let columns = left * size.channels..part.columns.end * size.channels;
        Some(rows.filter_map(|row| row.get(columns.clone())).flatten().copied().collect())
    }
}

/// Returns half of a number, rounded to an even one.
fn half(number: usize) -> usize {
    number / 2 + usize::from(number % 4 == 3)
}

/// Number of bits after the point of a weight.
const BITS: u32 = 32 - 8 - 2;

/// A half, which rounds sums to the nearest.
const HALF: i32 = 1 << (BITS - 1);

/// The part of a resized image that is made.
#[derive(Clone)]
struct Part {
    rows: Range<usize>,
    columns: Range<usize>,
}

/// The pixels along a side that make one new pixel, and their weights.
struct Weights {
    first: usize,
    weights: Vec<i32>,
}

impl Weights {
    /// Returns the pixels along the side that have weights.
    fn places(&self) -> Range<usize> {
        self.first..self.first + self.weights.len()
    }
}

/// Adds a weighted byte to a sum.
#[inline(always)]
fn add(sum: i32, sample: u8, weight: i32) -> i32 {
    sum.wrapping_add(i32::from(sample).wrapping_mul(weight))
}

/// Returns a sum of weighted bytes, rounded to a byte.
#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Returns the weights of some of the `new` pixels along a side of `old` ones: Pillow's `precompute_coeffs` and
/// `normalize_coeffs_8bpc` for the triangle filter. On a side that keeps its length each pixel is itself.
fn weights(old: usize, new: usize, some: Range<usize>) -> Vec<Weights> {
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
    some.map(of).collect()
}

/// Resizes rows and columns, each rounded to bytes: as in Pillow 13, columns first if the height shrinks by more than
/// twice as many pixels as the width. Only what `part` is made of is computed.
fn resize(pixels: &[u8], old: Size, new: Size, part: &Part) -> Vec<u8> {
    let shrinks = |old: usize, new: usize| old as i64 - new as i64;
    let (by_height, by_width) = (shrinks(old.height, new.height), shrinks(old.width, new.width));
    let (of_rows, of_columns) =
        (weights(old.width, new.width, part.columns.clone()), weights(old.height, new.height, part.rows.clone()));
    if by_height > 0 && by_height > 2 * by_width {
        let shorter = resize_columns(pixels, old.width * old.channels, &of_columns);
        return resize_rows(&shorter, old, &of_rows);
    }
    // The old rows that the new ones are made of.
    let start = of_columns.first().map_or(0, |weights| weights.first);
    let end = of_columns.last().map_or(0, |weights| weights.places().end);
    let row = old.width * old.channels;
    let narrower = resize_rows(pixels.get(start * row..end * row).unwrap_or_default(), old, &of_rows);
    let moved = |weights: Weights| Weights { first: weights.first - start, ..weights };
    let of_columns: Vec<Weights> = of_columns.into_iter().map(moved).collect();
    resize_columns(&narrower, part.columns.len() * old.channels, &of_columns)
}

/// Makes new pixels in each row of an image of this size.
fn resize_rows(pixels: &[u8], size: Size, weights: &[Weights]) -> Vec<u8> {
    let row = (size.width * size.channels).max(1);
    let mut made = vec![0; pixels.len() / row * weights.len() * size.channels];
    let rows = pixels.chunks_exact(row).zip(made.chunks_exact_mut((weights.len() * size.channels).max(1)));
    for (row, made) in rows {
        match size.channels {
            3 => resize_colours(row.as_chunks().0, weights, made.as_chunks_mut().0),
            channels => (0..channels).for_each(|channel| {
                let samples = row.iter().skip(channel).step_by(channels);
                let made = made.iter_mut().skip(channel).step_by(channels);
                for (weights, made) in weights.iter().zip(made) {
                    let samples = samples.clone().skip(weights.first);
                    *made = rounded(samples.zip(&weights.weights).fold(HALF, |sum, (&x, &weight)| add(sum, x, weight)));
                }
            }),
        }
    }
    made
}

/// Makes new pixels of red, green and blue.
fn resize_colours(row: &[[u8; 3]], weights: &[Weights], made: &mut [[u8; 3]]) {
    for (weights, made) in weights.iter().zip(made) {
        let [mut red, mut green, mut blue] = [HALF; 3];
        let pixels = row.get(weights.places()).unwrap_or_default();
        for (&[r, g, b], &weight) in pixels.iter().zip(&weights.weights) {
            (red, green, blue) = (add(red, r, weight), add(green, g, weight), add(blue, b, weight));
        }
        *made = [red, green, blue].map(rounded);
    }
}

/// Makes new rows of rows of `width` samples.
fn resize_columns(pixels: &[u8], width: usize, weights: &[Weights]) -> Vec<u8> {
    let width = width.max(1);
    let (mut made, mut sums) = (vec![0; weights.len() * width], vec![0; width]);
    vectorized(|| {
        for (weights, made) in weights.iter().zip(made.chunks_exact_mut(width)) {
            sums.fill(HALF);
            let rows = pixels.chunks_exact(width).skip(weights.first);
            for (row, weight) in rows.zip(&weights.weights) {
                for (sum, &sample) in sums.iter_mut().zip(row) {
                    *sum = add(*sum, sample, *weight);
                }
            }
            for (made, &sum) in made.iter_mut().zip(&sums) {
                *made = rounded(sum);
            }
        }
    });
    made
}
