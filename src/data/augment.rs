//! Random changes of images at every step: flip, shift, and normalization.
//!
//! The changes of an image are a function of the seed, the step and the image's place in the batch, so a resumed run
//! sees the same images as an uninterrupted one, and there is no state.

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{DataError, Input};
use crate::rng::StepRng;

/// The `[data.augment]` table of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Whether a random half of the images is mirrored left to right at each step in training.
    #[serde(default)]
    pub flip: bool,
    /// Maximal shift of an image in training, in pixels in each direction; new pixels are 0. This is torchvision's
    /// `RandomCrop` with that padding.
    #[serde(default)]
    pub shift: usize,
    /// Mean and standard deviation of each channel, used to normalize images after flip and shift in training, and also
    /// in evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
}

/// Mean and standard deviation of each channel of the images, like torchvision's `Normalize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel.
    #[schemars(extend("items" = json!({"type": "number", "exclusiveMinimum": 0.0})))]
    pub std: Vec<f32>,
}

impl Augment {
    /// Checks that the data is images of a suitable shape.
    ///
    /// # Errors
    /// The option that does not fit, and the reason.
    pub(super) fn check(&self, input: &Input) -> Result<(), DataError> {
        if *self == Self::default() {
            return Ok(());
        }
        let wrong = |option, reason: String| Err(DataError::Augment { option, reason });
        let Some([channels, height, width]) = image(input) else {
            return wrong("", format!("is for images of [channels, height, width], and a row of the data is {input}"));
        };
        if self.shift >= height.min(width) {
            return wrong(".shift", format!("= {} leaves nothing of images of {height} by {width}", self.shift));
        }
        let Some(Normalize { mean, std }) = &self.normalize else { return Ok(()) };
        if mean.len() != channels || std.len() != channels {
            let (means, deviations) = (mean.len(), std.len());
            let reason = format!("has {means} means and {deviations} deviations, and the images {channels} channels");
            return wrong(".normalize", reason);
        }
        if !mean.iter().all(|mean| mean.is_finite()) || !std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return wrong(".normalize", "takes finite means, and finite deviations above 0".to_owned());
        }
        Ok(())
    }

    /// Whether images change from step to step.
    pub(super) fn moves(&self) -> bool {
        self.flip || self.shift > 0
    }

    /// Returns the `inputs` of a training batch, from its row `first` on, with the changes of its step.
    pub(super) fn train(&self, inputs: Tensor, draws: &StepRng, first: usize) -> Result<Tensor, DataError> {
        let moves = |index: usize| {
            let place = first + index;
            Move {
                flip: self.flip && draws.stream("augment/flip").bits(draws.step, place as u64) & 1 == 1,
                down: self.offset(draws, "augment/down", place),
                right: self.offset(draws, "augment/right", place),
            }
        };
        self.apply(inputs, self.moves(), moves)
    }

    /// Returns the `inputs` of a batch for evaluation or prediction.
    pub(super) fn evaluate(&self, inputs: Tensor) -> Result<Tensor, DataError> {
        self.apply(inputs, false, |_| Move::default())
    }

    /// Returns an integer from `-shift` to `shift`, uniform up to 2^-60.
    fn offset(&self, draws: &StepRng, purpose: &str, index: usize) -> isize {
        let bits = u128::from(draws.stream(purpose).bits(draws.step, index as u64));
        let drawn = (bits * (2 * self.shift as u128 + 1)) >> 64;
        drawn as isize - self.shift as isize
    }

    fn apply(&self, inputs: Tensor, moves: bool, of: impl Fn(usize) -> Move) -> Result<Tensor, DataError> {
        if !moves && self.normalize.is_none() {
            return Ok(inputs);
        }
        let (rows, channels, height, width) = inputs.dims4()?;
        let inputs = inputs.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let pixels = inputs.flatten_all()?.to_vec1::<f32>()?;
        let mut moved = vec![0.0; pixels.len()];
        let planes = moved.chunks_exact_mut(height * width).zip(pixels.chunks_exact(height * width)).enumerate();
        for (plane, (into, from)) in planes {
            of(plane / channels).apply(from, width, into);
            if let Some(Normalize { mean, std }) = &self.normalize {
                let (mean, std) = (mean[plane % channels], std[plane % channels]);
                into.iter_mut().for_each(|x| *x = (*x - mean) / std);
            }
        }
        Ok(Tensor::from_vec(moved, (rows, channels, height, width), &Device::Cpu)?)
    }
}

fn image(input: &Input) -> Option<[usize; 3]> {
    match input {
        Input::Numbers(shape) => shape[..].try_into().ok(),
        Input::Tokens { .. } => None,
    }
}

/// The move of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Move {
    flip: bool,
    down: isize,
    right: isize,
}

impl Move {
    /// Writes the moved plane to `into`, which is zeros.
    fn apply(self, from: &[f32], width: usize, into: &mut [f32]) {
        let height = from.len() / width;
        for (y, into) in into.chunks_exact_mut(width).enumerate() {
            let Some(row) = y.checked_add_signed(-self.down).filter(|row| *row < height) else { continue };
            let from = &from[row * width..][..width];
            for (x, into) in into.iter_mut().enumerate() {
                let Some(x) = x.checked_add_signed(-self.right).filter(|x| *x < width) else { continue };
                *into = from[if self.flip { width - 1 - x } else { x }];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(rows: usize) -> Tensor {
        let pixels: Vec<f32> = (1..=rows * 2 * 3 * 4).map(|x| x as f32).collect();
        Tensor::from_vec(pixels, (rows, 2, 3, 4), &Device::Cpu).unwrap()
    }

    fn pixels(images: &Tensor) -> Vec<f32> {
        images.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn an_image_is_flipped_and_then_shifted_and_zeros_come_in() {
        let from: Vec<f32> = (1..=6).map(|x| x as f32).collect();
        let moved = |flip, down, right| {
            let mut into = vec![0.0; 6];
            Move { flip, down, right }.apply(&from, 3, &mut into);
            into
        };
        assert_eq!(moved(false, 0, 0), from);
        assert_eq!(moved(true, 0, 0), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(moved(false, 1, 0), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved(false, -1, 2), [0.0, 0.0, 4.0, 0.0, 0.0, 0.0]);
        assert_eq!(moved(true, 0, -1), [2.0, 1.0, 0.0, 5.0, 4.0, 0.0]);
    }

    #[test]
    fn what_happens_is_a_function_of_seed_and_step() {
        let augment = Augment { flip: true, shift: 2, normalize: None };
        let at = |seed, step| pixels(&augment.train(images(8), &StepRng::at(seed, step), 0).unwrap());
        assert_eq!(at(1, 5), at(1, 5));
        assert_ne!(at(1, 5), at(1, 6));
        assert_ne!(at(1, 5), at(2, 5));
        assert_ne!(at(1, 5), pixels(&images(8)));
    }

    /// All channels of an image move together; the first images of a longer batch move as in a shorter one.
    #[test]
    fn an_image_moves_as_a_whole_and_by_its_place_in_the_batch() {
        let augment = Augment { flip: true, shift: 1, normalize: None };
        let moved = |rows| pixels(&augment.train(images(rows), &StepRng::at(3, 0), 0).unwrap());
        let eight = moved(8);
        assert_eq!(moved(5), eight[..5 * 24]);
        for image in eight.chunks_exact(24) {
            let other_channel: Vec<f32> = image[..12].iter().map(|&x| if x == 0.0 { 0.0 } else { x + 12.0 }).collect();
            assert_eq!(other_channel, image[12..]);
        }
    }

    /// 30,000 images: each of nine places and two orientations is seen 1,667 times, give or take 200, which is five
    /// standard errors.
    #[test]
    fn every_move_is_as_likely_as_any_other() {
        let augment = Augment { flip: true, shift: 1, normalize: None };
        let image = [&[0.0; 6][..], &[1.0, 2.0], &[0.0; 7]].concat().repeat(30_000);
        let inputs = Tensor::from_vec(image, (30_000, 1, 3, 5), &Device::Cpu).unwrap();
        let moved = pixels(&augment.train(inputs, &StepRng::at(0, 0), 0).unwrap());
        let mut seen = std::collections::BTreeMap::new();
        for image in moved.chunks_exact(15) {
            *seen.entry(image.iter().map(|&x| x as u8).collect::<Vec<_>>()).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 18);
        assert!(seen.values().all(|count| (1467..1867).contains(count)), "{:?}", seen.values());
    }

    #[test]
    fn evaluation_is_normalized_and_not_moved() {
        let normalize = Some(Normalize { mean: vec![1.0, 13.0], std: vec![1.0, 2.0] });
        let augment = Augment { flip: true, shift: 2, normalize };
        let evaluated = pixels(&augment.evaluate(images(1)).unwrap());
        let expected: Vec<f32> = (0..12).map(|x| x as f32).chain((0..12).map(|x| x as f32 / 2.0)).collect();
        assert_eq!(evaluated, expected);
        let augment = Augment { normalize: None, ..augment };
        assert_eq!(pixels(&augment.evaluate(images(1)).unwrap()), pixels(&images(1)));
    }

    #[test]
    fn what_does_not_fit_the_images_is_refused_by_name() {
        let message = |text: &str, shape: &[usize]| {
            let augment: Augment = toml::from_str(text).unwrap();
            augment.check(&Input::Numbers(shape.to_vec())).unwrap_err().to_string()
        };
        let table = message("flip = true", &[64]);
        assert!(table.starts_with("`data.augment` is for images") && table.ends_with("shape [64]"), "{table}");
        assert!(
            message("shift = 8", &[1, 8, 9]).starts_with("`data.augment.shift` = 8 leaves nothing of images of 8 by 9")
        );
        let normalize = |table: &str| message(&format!("normalize = {table}"), &[1, 8, 8]);
        assert!(normalize("{ mean = [0.5, 0.5], std = [1.0] }").contains("has 2 means and 1 deviations"));
        assert!(normalize("{ mean = [0.5], std = [0.0] }").contains("deviations above 0"));
    }
}
