//! Changes of where pixels are: rotation, and a random part of an image at its full size. Both take pixels between
//! others as a weighted mean of the four around (bilinear).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probability::{Draws, Probability, between};

/// A rotation by a random angle about the centre, as torchvision's `RandomRotation` with bilinear interpolation; new
/// pixels are 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The largest angle in either direction, in degrees, above 0 and at most 180.
    #[schemars(range(max = 180.0), extend("exclusiveMinimum" = 0.0))]
    pub degrees: f64,
    /// The probability of a rotation. Default 1.
    #[serde(default)]
    pub probability: Probability,
}

/// A random part of an image, enlarged to its size, as torchvision's `RandomResizedCrop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// The smallest and the largest share of the area, above 0 and at most 1. Default `[0.08, 1]`.
    #[serde(default = "most_areas")]
    pub area: [f64; 2],
    /// The smallest and the largest ratio of width to height, above 0; equally probable on a logarithmic scale. Default
    /// `[0.75, 1.3333]`.
    #[serde(default = "most_ratios")]
    pub ratio: [f64; 2],
    /// The probability of taking a part. Default 1.
    #[serde(default)]
    pub probability: Probability,
}

fn most_areas() -> [f64; 2] {
    [0.08, 1.0]
}

fn most_ratios() -> [f64; 2] {
    [0.75, 4.0 / 3.0]
}

/// The size of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub height: usize,
    pub width: usize,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Part {
    /// Draws a part with a share of the area and a ratio in these bounds, at a random place. Ten attempts are made at one
    /// that is inside; `None` if all fail, which extreme ratios do.
    pub fn draw(size: Size, area: [f64; 2], ratio: [f64; 2], draws: &Draws, place: usize) -> Option<Self> {
        let logarithms = ratio.map(f64::ln);
        (1..=10).find_map(|attempt| {
            let [a, r, y, x] = draws.uniform(place, attempt);
            let area = between(area, a) * (size.height * size.width) as f64;
            let ratio = between(logarithms, r).exp();
            let (height, width) = ((area / ratio).sqrt().round() as usize, (area * ratio).sqrt().round() as usize);
            let is_inside = (1..=size.height).contains(&height) && (1..=size.width).contains(&width);
            let at = |share: f64, places: usize| ((share * (places + 1) as f64) as usize).min(places);
            is_inside.then(|| {
                let (top, left) = (at(y, size.height - height), at(x, size.width - width));
                Self { top, left, height, width }
            })
        })
    }
}

/// Returns the mean of the four pixels of a plane around a place, weighted by their nearness; those outside are 0.
fn bilinear(plane: &[f32], size: Size, y: f64, x: f64) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = ((y - top) as f32, (x - left) as f32);
    let at = |row: f64, column: f64| {
        let is_inside = row >= 0.0 && column >= 0.0 && row < size.height as f64 && column < size.width as f64;
        let place = if is_inside { row as usize * size.width + column as usize } else { usize::MAX };
        plane.get(place).copied().unwrap_or(0.0)
    };
    let upper = at(top, left) * (1.0 - right) + at(top, left + 1.0) * right;
    let lower = at(top + 1.0, left) * (1.0 - right) + at(top + 1.0, left + 1.0) * right;
    upper * (1.0 - down) + lower * down
}

/// Writes every pixel of an image from the place in it that `source` gives for it.
fn resample(from: &[f32], size: Size, into: &mut [f32], source: impl Fn(f64, f64) -> (f64, f64)) {
    let pixels = size.height * size.width;
    for row in 0..size.height {
        for column in 0..size.width {
            let (y, x) = source(row as f64, column as f64);
            let place = row * size.width + column;
            for (from, into) in from.chunks_exact(pixels).zip(into.chunks_exact_mut(pixels)) {
                into[place] = bilinear(from, size, y, x);
            }
        }
    }
}

impl Rotate {
    pub(super) fn fault(&self) -> Option<&'static str> {
        let is_valid = self.degrees > 0.0 && self.degrees <= 180.0 && self.probability.is_valid();
        (!is_valid).then_some("takes degrees above 0 and up to 180, and a probability from 0 to 1")
    }

    /// Writes the rotated image to `into`. An angle above 0 turns it counterclockwise.
    pub(super) fn apply(&self, from: &[f32], size: Size, into: &mut [f32], draws: &Draws, place: usize) {
        let [share, ..] = draws.uniform(place, 1);
        rotate(from, size, into, between([-self.degrees, self.degrees], share).to_radians());
    }
}

fn rotate(from: &[f32], size: Size, into: &mut [f32], angle: f64) {
    let centre = |length: usize| (length as f64 - 1.0) / 2.0;
    let (middle, centre) = (centre(size.height), centre(size.width));
    let (sine, cosine) = (libm::sin(angle), libm::cos(angle));
    resample(from, size, into, |row, column| {
        let (y, x) = (row - middle, column - centre);
        (middle + cosine * y + sine * x, centre + cosine * x - sine * y)
    });
}

impl RandomCrop {
    pub(super) fn fault(&self) -> Option<&'static str> {
        let [low, high] = self.area;
        let areas = low > 0.0 && low <= high && high <= 1.0;
        let [low, high] = self.ratio;
        let is_valid = areas && low > 0.0 && low <= high && high.is_finite() && self.probability.is_valid();
        (!is_valid).then_some(
            "takes areas above 0 and up to 1, ratios above 0, smaller ones first, and a probability from 0 to 1",
        )
    }

    /// Writes a part of the image, enlarged, to `into`; without one that fits, the whole of it.
    pub(super) fn apply(&self, from: &[f32], size: Size, into: &mut [f32], draws: &Draws, place: usize) {
        let whole = Part { top: 0, left: 0, height: size.height, width: size.width };
        let part = Part::draw(size, self.area, self.ratio, draws, place).unwrap_or(whole);
        // Centres of pixels are at half numbers, and the outermost pixels of the part continue beyond it.
        let along = |at: f64, start: usize, length: usize, whole: usize| {
            let within = (at + 0.5) * length as f64 / whole as f64 - 0.5;
            start as f64 + within.clamp(0.0, length as f64 - 1.0)
        };
        let rows: Vec<Between> = (0..size.height)
            .map(|row| Between::new(along(row as f64, part.top, part.height, size.height), size.height))
            .collect();
        let columns: Vec<Between> = (0..size.width)
            .map(|column| Between::new(along(column as f64, part.left, part.width, size.width), size.width))
            .collect();
        let pixels = size.height * size.width;
        for (from, into) in from.chunks_exact(pixels).zip(into.chunks_exact_mut(pixels)) {
            for (row, into) in rows.iter().zip(into.chunks_exact_mut(size.width)) {
                row.stretch(from, size.width, &columns, into);
            }
        }
    }
}

/// A place along a side: the two pixels that it is between, and how far it is from the first.
struct Between {
    first: usize,
    /// Outside at the last pixel.
    second: Option<usize>,
    share: f32,
}

impl Between {
    /// The place `at`, which is inside a side of this length.
    fn new(at: f64, length: usize) -> Self {
        let first = at.floor();
        let share = (at - first) as f32;
        let first = first as usize;
        Self { first, second: Some(first + 1).filter(|second| *second < length), share }
    }

    /// Writes the row of pixels at this height, as [`bilinear`] has each of them at the places of its columns.
    fn stretch(&self, plane: &[f32], width: usize, columns: &[Self], into: &mut [f32]) {
        let row = |row: usize| plane.get(row * width..(row + 1) * width).unwrap_or_default();
        let (upper, lower) = (row(self.first), self.second.map(row).unwrap_or_default());
        let at = |row: &[f32], column: Option<usize>| column.and_then(|column| row.get(column)).copied().unwrap_or(0.0);
        for (column, into) in columns.iter().zip(into) {
            let (left, right) = (Some(column.first), column.second);
            let upper = at(upper, left) * (1.0 - column.share) + at(upper, right) * column.share;
            let lower = at(lower, left) * (1.0 - column.share) + at(lower, right) * column.share;
            *into = upper * (1.0 - self.share) + lower * self.share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StepRng;

    const SIZE: Size = Size { height: 2, width: 3 };

    #[test]
    fn a_quarter_turn_moves_every_pixel_of_a_square() {
        let (from, mut into) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], [0.0; 9]);
        rotate(&from, Size { height: 3, width: 3 }, &mut into, std::f64::consts::FRAC_PI_2);
        let expected = [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0];
        assert!(into.iter().zip(expected).all(|(x, y): (&f32, f32)| (x - y).abs() < 1e-5), "{into:?}");
        rotate(&from, Size { height: 3, width: 3 }, &mut into, 0.0);
        assert_eq!(into, from);
    }

    /// Also at the last row and column, beyond which there is no pixel.
    #[test]
    fn a_part_is_made_of_rows_and_columns_as_each_pixel_is_by_itself() {
        let size = Size { height: 5, width: 7 };
        let from: Vec<f32> = (0..35).map(|pixel| (pixel as f32 * 0.7).sin()).collect();
        let [rows, columns] = [[0.0, 0.3, 1.5, 3.75, 4.0].as_slice(), &[0.0, 0.25, 2.0, 3.3, 4.9, 5.999, 6.0]];
        let places: Vec<Between> = columns.iter().map(|&at| Between::new(at, size.width)).collect();
        for &y in rows {
            let mut row = [0.0; 7];
            Between::new(y, size.height).stretch(&from, size.width, &places, &mut row);
            let each: Vec<u32> = columns.iter().map(|&x| bilinear(&from, size, y, x).to_bits()).collect();
            assert_eq!(row.map(f32::to_bits).as_slice(), each, "{y}");
        }
    }

    #[test]
    fn the_whole_of_an_image_is_the_image_and_a_part_of_one_pixel_is_that_pixel() {
        let from = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let draws = Draws::new(&StepRng::at(1, 1), "augment/crop", 0, &Probability::default());
        let cropped = |area: [f64; 2]| {
            let mut into = [0.0; 6];
            let crop = RandomCrop { area, ratio: [1.5, 1.5], probability: Probability::default() };
            crop.apply(&from, SIZE, &mut into, &draws, 3);
            into
        };
        assert_eq!(cropped([1.0, 1.0]), from);
        let one = cropped([1.0 / 6.0, 1.0 / 6.0]);
        assert!(one.iter().all(|pixel| *pixel == one[0]) && from.contains(&one[0]), "{one:?}");
    }

    #[test]
    fn parts_are_inside_and_everywhere() {
        let draws = Draws::new(&StepRng::at(1, 1), "augment/crop", 0, &Probability::default());
        let size = Size { height: 8, width: 6 };
        let parts: Vec<Part> =
            (0..2000).filter_map(|place| Part::draw(size, [0.1, 0.5], [0.5, 2.0], &draws, place)).collect();
        assert!(parts.len() > 1990);
        assert!(parts.iter().all(|part| part.top + part.height <= 8 && part.left + part.width <= 6));
        let edges = |test: fn(&Part) -> bool| parts.iter().any(test);
        assert!(edges(|part| part.top == 0) && edges(|part| part.top + part.height == 8));
        assert!(edges(|part| part.left == 0) && edges(|part| part.left + part.width == 6));
    }
}
