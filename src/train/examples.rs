//! Rows to look at: their classes beside the predicted ones, and their images.

use candle_core::{DType, Tensor};
use serde::Serialize;

/// A row and the class predicted for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Its number among the rows, from 0.
    pub row: usize,
    /// Its class.
    pub target: u32,
    /// The predicted class.
    pub predicted: u32,
    /// The probability of that.
    pub probability: f32,
    /// Its image, if it is one.
    pub image: Option<Image>,
}

/// A small image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Image {
    /// Its width.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// 1 for grey, 3 for color.
    pub channels: usize,
    /// From 0 to 255, channel by channel, from the smallest number of the image to the largest.
    pub pixels: Vec<u8>,
}

impl Image {
    /// Whether rows of this shape are images: `[1, height, width]` or `[3, height, width]`.
    pub(crate) fn is_shape(shape: &[usize]) -> bool {
        matches!(shape, [1 | 3, height, width] if *height > 1 && *width > 1)
    }

    /// Returns the input of a row as an image; `None` if it is none. If its longer side has more than `side` pixels, only
    /// every second pixel is in it, or every third, and so on.
    pub(crate) fn of_input(input: &Tensor, side: usize) -> candle_core::Result<Option<Self>> {
        let &[channels, height, width] = input.dims() else { return Ok(None) };
        if !Self::is_shape(input.dims()) {
            return Ok(None);
        }
        let numbers = input.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let ends = |(low, high): (f32, f32), x: &f32| (low.min(*x), high.max(*x));
        let (low, high) = numbers.iter().fold((f32::INFINITY, f32::NEG_INFINITY), ends);
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        let stride = height.max(width).div_ceil(side.max(1));
        let kept = |length: usize| length.div_ceil(stride);
        let pixel = |at: usize| numbers.get(at).map_or(0, |x| ((x - low) * scale).round() as u8);
        let pixels = (0..channels).flat_map(|channel| {
            let row = move |y: usize| (0..width).step_by(stride).map(move |x| (channel * height + y) * width + x);
            (0..height).step_by(stride).flat_map(row)
        });
        let pixels = pixels.map(pixel).collect();
        Ok(Some(Self { width: kept(width), height: kept(height), channels, pixels }))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn an_image_is_from_its_darkest_number_to_its_brightest_and_small() {
        let pixels = |shape: (usize, usize, usize)| {
            let count = shape.0 * shape.1 * shape.2;
            let numbers: Vec<f32> = (0..count).map(|x| x as f32 - 3.0).collect();
            Image::of_input(&Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap(), 48).unwrap()
        };
        let small = pixels((1, 2, 3)).unwrap();
        assert_eq!((small.width, small.height, small.pixels), (3, 2, vec![0, 51, 102, 153, 204, 255]));
        let large = pixels((3, 100, 96)).unwrap();
        assert_eq!((large.width, large.height, large.pixels.len()), (32, 34, 3 * 32 * 34));
        assert_eq!((pixels((2, 4, 4)), pixels((1, 1, 4))), (None, None));
    }
}
