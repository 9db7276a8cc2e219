//! Random erasing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::geometry::{Part, Size};
use super::probability::{Draws, Probability};

/// Sets a random rectangle of an image to 0, after it was normalized, as torchvision's `RandomErasing` (Zhong and others,
/// AAAI 2020).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// The smallest and the largest share of the area, above 0 and below 1. Default `[0.02, 0.33]`.
    #[serde(default = "some_areas")]
    pub area: [f64; 2],
    /// The smallest and the largest ratio of width to height, above 0; equally probable on a logarithmic scale. Default
    /// `[0.3, 3.3]`.
    #[serde(default = "some_ratios")]
    pub ratio: [f64; 2],
    /// The probability of erasing.
    #[serde(default = "half")]
    pub probability: Probability,
}

fn some_areas() -> [f64; 2] {
    [0.02, 0.33]
}

fn some_ratios() -> [f64; 2] {
    [0.3, 3.3]
}

fn half() -> Probability {
    Probability::Every(0.5)
}

impl Erase {
    pub(super) fn fault(&self) -> Option<&'static str> {
        let [low, high] = self.area;
        let areas = low > 0.0 && low <= high && high < 1.0;
        let [low, high] = self.ratio;
        let is_valid = areas && low > 0.0 && low <= high && high.is_finite() && self.probability.is_valid();
        (!is_valid).then_some(
            "takes areas above 0 and below 1, ratios above 0, smaller ones first, and a probability from 0 to 1",
        )
    }

    /// Erases a part of an image, in all channels; nothing if no attempt at a rectangle is inside.
    pub(super) fn apply(&self, pixels: &mut [f32], size: Size, draws: &Draws, place: usize) {
        let Some(part) = Part::draw(size, self.area, self.ratio, draws, place) else { return };
        for plane in pixels.chunks_exact_mut(size.height * size.width) {
            for row in plane.chunks_exact_mut(size.width).skip(part.top).take(part.height) {
                row.iter_mut().skip(part.left).take(part.width).for_each(|pixel| *pixel = 0.0);
            }
        }
    }
}
