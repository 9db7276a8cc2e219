//! Random changes of images at every step, mixing of rows, and normalization.
//!
//! The changes of an image are a function of the seed, the step and the image's place in the batch, so a resumed run
//! sees the same images as an uninterrupted one, and there is no state. They are made in the order of `train`:
//! `geometry.rs` a part, a rotation; flip and shift; `colour.rs`; normalization; `erase.rs`. `mix.rs` mixes whole rows
//! then, also of data that is not images. `probability.rs`: how often, and the random numbers.

mod colour;
mod erase;
mod geometry;
mod mix;
mod moves;
mod probability;

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use colour::Colour;
pub use erase::Erase;
pub use geometry::{RandomCrop, Rotate};
pub use mix::Mix;
pub(super) use mix::Mixing;
pub use probability::Probability;

use self::geometry::Size;
use self::moves::Move;
use self::probability::Draws;
use super::{DataError, Input};
use crate::rng::StepRng;

/// The `[data.augment]` table of a configuration. A probability is a number, or a list with one for each epoch, of which
/// the last is that of all later ones.
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
    /// A random part of each image, enlarged to its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<RandomCrop>,
    /// A random rotation of each image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Rotate>,
    /// Random changes of brightness, contrast, saturation and hue, for pixels from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// A random rectangle of each image becomes 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase: Option<Erase>,
    /// Each row is mixed with the one before it in the batch, and so are their targets (Zhang and others, ICLR 2018).
    /// Also for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<Mix>,
    /// A rectangle of each image is replaced by that of the image before it in the batch, and the targets are mixed by the
    /// share of the area (Yun and others, ICCV 2019). With both, one of them is taken at random for each batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<Mix>,
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
    /// Checks that the data is images of a suitable shape, and that every option is valid.
    ///
    /// # Errors
    /// The option that does not fit, and the reason.
    pub(super) fn check(&self, input: &Input) -> Result<(), DataError> {
        let wrong = |option, reason: String| Err(DataError::Augment { option, reason });
        let mixes = [(".mixup", &self.mixup), (".cutmix", &self.cutmix)];
        let faults = mixes.iter().filter_map(|(option, mix)| Some((*option, mix.as_ref()?.fault()?)));
        if let Some((option, reason)) = faults.into_iter().next() {
            return wrong(option, reason.to_owned());
        }
        if self.mixup.is_some() && matches!(input, Input::Tokens { .. }) {
            return wrong(".mixup", "mixes numbers, and a row of the data is tokens".to_owned());
        }
        if (Self { mixup: None, ..self.clone() }) == Self::default() {
            return Ok(());
        }
        let Some([channels, height, width]) = image(input) else {
            return wrong("", format!("is for images of [channels, height, width], and a row of the data is {input}"));
        };
        if self.shift >= height.min(width) {
            return wrong(".shift", format!("= {} leaves nothing of images of {height} by {width}", self.shift));
        }
        let faults = [
            (".crop", self.crop.as_ref().and_then(RandomCrop::fault)),
            (".rotate", self.rotate.as_ref().and_then(Rotate::fault)),
            (".colour", self.colour.as_ref().and_then(|colour| colour.fault(channels))),
            (".erase", self.erase.as_ref().and_then(Erase::fault)),
        ];
        if let Some((option, reason)) = faults.into_iter().find_map(|(option, fault)| Some((option, fault?))) {
            return wrong(option, reason.to_owned());
        }
        self.normalize.as_ref().map_or(Ok(()), |normalize| normalize.check(channels))
    }

    /// Whether rows change from step to step.
    pub(super) fn moves(&self) -> bool {
        let by_itself = self.crop.is_some() || self.rotate.is_some() || self.colour.is_some() || self.erase.is_some();
        self.flip || self.shift > 0 || by_itself || self.mixes()
    }

    /// Whether rows are mixed with others.
    pub(crate) fn mixes(&self) -> bool {
        self.mixup.is_some() || self.cutmix.is_some()
    }

    /// Returns how the rows of a step are mixed, if they are.
    pub(super) fn mixing(&self, rng: &StepRng, epoch: u64) -> Option<Mixing> {
        Mixing::draw(self.mixup.as_ref(), self.cutmix.as_ref(), rng, epoch)
    }

    /// Returns the `inputs` of a training batch, from its row `first` on, with the changes of its step, which is in this
    /// epoch.
    pub(super) fn train(&self, inputs: Tensor, rng: &StepRng, epoch: u64, first: usize) -> Result<Tensor, DataError> {
        let draws = |purpose: &str, probability: &Probability| Draws::new(rng, purpose, epoch, probability);
        let crop = self.crop.as_ref().map(|crop| (crop, draws("augment/crop", &crop.probability)));
        let rotate = self.rotate.as_ref().map(|rotate| (rotate, draws("augment/rotate", &rotate.probability)));
        let colour = self.colour.as_ref().map(|colour| (colour, draws("augment/colour", &colour.probability)));
        let erase = self.erase.as_ref().map(|erase| (erase, draws("augment/erase", &erase.probability)));
        let moves = Move::draws(rng);
        let geometric = self.flip || self.shift > 0;
        if !geometric && crop.is_none() && rotate.is_none() && colour.is_none() && erase.is_none() {
            return self.evaluate(inputs);
        }
        self.each_image(inputs, |image, channels, size, index| {
            let place = first + index;
            let mut spare = Vec::new();
            if let Some((crop, draws)) = crop.filter(|(_, draws)| draws.happens(place)) {
                replace(image, &mut spare, |from, into| crop.apply(from, size, into, &draws, place));
            }
            if let Some((rotate, draws)) = rotate.filter(|(_, draws)| draws.happens(place)) {
                replace(image, &mut spare, |from, into| rotate.apply(from, size, into, &draws, place));
            }
            if geometric {
                let step = Move::at(&moves, self.flip, self.shift, rng.step, place);
                replace(image, &mut spare, |from, into| step.apply(from, size, into));
            }
            if let Some((colour, draws)) = colour.filter(|(_, draws)| draws.happens(place)) {
                colour.apply(image, channels, &draws, place);
            }
            if let Some(normalize) = &self.normalize {
                normalize.apply(image, size);
            }
            if let Some((erase, draws)) = erase.filter(|(_, draws)| draws.happens(place)) {
                erase.apply(image, size, &draws, place);
            }
        })
    }

    /// Returns the `inputs` of a batch for evaluation or prediction.
    pub(super) fn evaluate(&self, inputs: Tensor) -> Result<Tensor, DataError> {
        match &self.normalize {
            Some(normalize) => self.each_image(inputs, |image, _, size, _| normalize.apply(image, size)),
            None => Ok(inputs),
        }
    }

    /// Changes every image: its pixels, the number of its channels, its size and its number.
    fn each_image(
        &self,
        inputs: Tensor,
        mut change: impl FnMut(&mut Vec<f32>, usize, Size, usize),
    ) -> Result<Tensor, DataError> {
        let (rows, channels, height, width) = inputs.dims4()?;
        let inputs = inputs.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let pixels = inputs.flatten_all()?.to_vec1::<f32>()?;
        let mut changed = Vec::with_capacity(pixels.len());
        let mut image = Vec::new();
        for (index, from) in pixels.chunks_exact((channels * height * width).max(1)).enumerate() {
            image.clear();
            image.extend_from_slice(from);
            change(&mut image, channels, Size { height, width }, index);
            changed.extend_from_slice(&image);
        }
        Ok(Tensor::from_vec(changed, (rows, channels, height, width), &Device::Cpu)?)
    }
}

/// Replaces an image by what `write` makes of it; `spare` is memory of the same size.
fn replace(image: &mut Vec<f32>, spare: &mut Vec<f32>, write: impl FnOnce(&[f32], &mut [f32])) {
    spare.clear();
    spare.resize(image.len(), 0.0);
    write(image, spare);
    std::mem::swap(image, spare);
}

impl Normalize {
    fn check(&self, channels: usize) -> Result<(), DataError> {
        let wrong = |reason: String| Err(DataError::Augment { option: ".normalize", reason });
        let Self { mean, std } = self;
        if mean.len() != channels || std.len() != channels {
            let (means, deviations) = (mean.len(), std.len());
            return wrong(format!("has {means} means and {deviations} deviations, and the images {channels} channels"));
        }
        if !mean.iter().all(|mean| mean.is_finite()) || !std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return wrong("takes finite means, and finite deviations above 0".to_owned());
        }
        Ok(())
    }

    fn apply(&self, image: &mut [f32], size: Size) {
        let planes = image.chunks_exact_mut(size.height * size.width);
        for (plane, (mean, std)) in planes.zip(self.mean.iter().zip(&self.std)) {
            plane.iter_mut().for_each(|x| *x = (*x - mean) / std);
        }
    }
}

fn image(input: &Input) -> Option<[usize; 3]> {
    match input {
        Input::Numbers(shape) => shape[..].try_into().ok(),
        Input::Tokens { .. } => None,
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
    fn what_happens_is_a_function_of_seed_and_step() {
        let augment = Augment { flip: true, shift: 2, ..Augment::default() };
        let at = |seed, step| pixels(&augment.train(images(8), &StepRng::at(seed, step), 0, 0).unwrap());
        assert_eq!(at(1, 5), at(1, 5));
        assert_ne!(at(1, 5), at(1, 6));
        assert_ne!(at(1, 5), at(2, 5));
        assert_ne!(at(1, 5), pixels(&images(8)));
    }

    /// All channels of an image move together; the first images of a longer batch move as in a shorter one.
    #[test]
    fn an_image_moves_as_a_whole_and_by_its_place_in_the_batch() {
        let augment = Augment { flip: true, shift: 1, ..Augment::default() };
        let moved = |rows| pixels(&augment.train(images(rows), &StepRng::at(3, 0), 0, 0).unwrap());
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
        let augment = Augment { flip: true, shift: 1, ..Augment::default() };
        let image = [&[0.0; 6][..], &[1.0, 2.0], &[0.0; 7]].concat().repeat(30_000);
        let inputs = Tensor::from_vec(image, (30_000, 1, 3, 5), &Device::Cpu).unwrap();
        let moved = pixels(&augment.train(inputs, &StepRng::at(0, 0), 0, 0).unwrap());
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
        let augment = Augment { flip: true, shift: 2, normalize, ..Augment::default() };
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

    fn every() -> Augment {
        let text = "shift = 1\nflip = true\ncrop = { area = [0.3, 1.0] }\nrotate = { degrees = 30, probability = 0.5 }\n\
                    erase = { area = [0.1, 0.3], ratio = [0.5, 2.0] }\ncolour = { brightness = 0.3, contrast = 0.5 }";
        toml::from_str(text).unwrap()
    }

    /// Pixels from 0 to 1.
    fn faint(rows: usize) -> Tensor {
        (images(rows) / (24.0 * rows as f64)).unwrap()
    }

    /// Every change is that of a place, so that a part of a batch has the images of the whole.
    #[test]
    fn every_change_is_a_function_of_seed_step_and_place() {
        let augment = every();
        augment.check(&Input::Numbers(vec![2, 3, 4])).unwrap();
        let at = |step, first, count: usize| {
            let some = faint(8).narrow(0, first, count).unwrap();
            pixels(&augment.train(some, &StepRng::at(1, step), 0, first).unwrap())
        };
        let whole = at(5, 0, 8);
        assert_eq!(at(5, 0, 8), whole);
        assert_ne!(at(6, 0, 8), whole);
        assert_eq!(at(5, 3, 2), whole[3 * 24..5 * 24]);
        assert!(whole.iter().all(|pixel| (0.0..=1.0).contains(pixel)), "{whole:?}");
    }

    #[test]
    fn a_change_with_a_probability_of_0_in_an_epoch_is_not_made_in_it() {
        let text = "erase = { probability = [0, 1], area = [0.3, 0.4], ratio = [1, 1] }";
        let augment: Augment = toml::from_str(text).unwrap();
        let of = |epoch| pixels(&augment.train(faint(8), &StepRng::at(1, 0), epoch, 0).unwrap());
        assert_eq!(of(0), pixels(&faint(8)));
        assert!(of(1).iter().filter(|pixel| **pixel == 0.0).count() >= 8 * 2 * 4 && of(1) == of(9));
    }

    #[test]
    fn invalid_changes_are_refused_by_name() {
        let message = |text: &str, shape: &[usize]| {
            let augment: Augment = toml::from_str(text).unwrap();
            augment.check(&Input::Numbers(shape.to_vec())).unwrap_err().to_string()
        };
        let image = [1, 8, 8];
        assert!(message("rotate = { degrees = 0 }", &image).starts_with("`data.augment.rotate` takes degrees above 0"));
        assert!(message("crop = { area = [0.5, 0.2] }", &image).contains("smaller ones first"));
        assert!(message("erase = { probability = 2 }", &image).starts_with("`data.augment.erase` takes areas"));
        assert!(message("colour = { hue = 0.1 }", &image).contains("no three channels"));
        assert!(message("mixup = { alpha = 0 }", &[5]).starts_with("`data.augment.mixup` takes an alpha above 0"));
        assert!(message("cutmix = { alpha = 1 }", &[5]).contains("is for images"));
        let table: Augment = toml::from_str("mixup = { alpha = 1 }").unwrap();
        assert!(table.check(&Input::Numbers(vec![5])).is_ok());
        assert!(table.check(&Input::Tokens { context: 4, vocabulary: 9 }).is_err());
    }
}
