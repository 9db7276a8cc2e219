//! Changes of brightness, contrast, saturation and hue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probability::{Draws, Probability, between};

/// Random changes of colours, as torchvision's `ColorJitter`, in the order of these options. Pixels must be from 0 to 1,
/// and stay there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Colour {
    /// The brightness is multiplied by a number from `1 - brightness` to `1 + brightness`. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub brightness: f64,
    /// The distance from the mean grey is multiplied by such a number. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub contrast: f64,
    /// The distance of each pixel from its grey is multiplied by such a number. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub saturation: f64,
    /// The hue is turned by at most this share of the circle of colours, up to 0.5. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.5))]
    pub hue: f64,
    /// The probability of a change. Default 1.
    #[serde(default)]
    pub probability: Probability,
}

impl Colour {
    pub(super) fn fault(&self, channels: usize) -> Option<&'static str> {
        let factors = [self.brightness, self.contrast, self.saturation].iter().all(|by| (0.0..=1.0).contains(by));
        if !(factors && (0.0..=0.5).contains(&self.hue) && self.probability.is_valid()) {
            return Some("takes brightness, contrast, saturation and probability from 0 to 1, and a hue up to 0.5");
        }
        let needs_colours = self.saturation > 0.0 || self.hue > 0.0;
        (needs_colours && channels != 3).then_some("has a saturation or a hue, and the images have no three channels")
    }

    /// Changes the pixels of an image, plane after plane.
    pub(super) fn apply(&self, pixels: &mut [f32], channels: usize, draws: &Draws, place: usize) {
        let shares = draws.uniform(place, 1);
        let factor = |by: f64, share: f64| between([1.0 - by, 1.0 + by], share) as f32;
        let [brightness, contrast, saturation, hue] = shares;
        if self.brightness > 0.0 {
            let factor = factor(self.brightness, brightness);
            pixels.iter_mut().for_each(|x| *x = (*x * factor).clamp(0.0, 1.0));
        }
        if self.contrast > 0.0 {
            let grey = greys(pixels, channels);
            let mean = (grey.iter().map(|grey| f64::from(*grey)).sum::<f64>() / grey.len() as f64) as f32;
            let factor = factor(self.contrast, contrast);
            pixels.iter_mut().for_each(|x| *x = (mean + (*x - mean) * factor).clamp(0.0, 1.0));
        }
        if self.saturation > 0.0 {
            let (grey, factor) = (greys(pixels, channels), factor(self.saturation, saturation));
            for plane in pixels.chunks_exact_mut(grey.len()) {
                let blend = |(x, grey): (&mut f32, &f32)| *x = (grey + (*x - grey) * factor).clamp(0.0, 1.0);
                plane.iter_mut().zip(&grey).for_each(blend);
            }
        }
        if self.hue > 0.0 {
            turn(pixels, between([-self.hue, self.hue], hue) as f32);
        }
    }
}

/// The brightness of each pixel: the luma of ITU-R BT.601 of three channels, otherwise the first channel.
fn greys(pixels: &[f32], channels: usize) -> Vec<f32> {
    let plane = pixels.len() / channels.max(1);
    match (pixels.get(..plane), pixels.get(plane..2 * plane), pixels.get(2 * plane..)) {
        (Some(red), Some(green), Some(blue)) if channels == 3 => {
            let luma = |((r, g), b): ((&f32, &f32), &f32)| 0.2989 * r + 0.587 * g + 0.114 * b;
            red.iter().zip(green).zip(blue).map(luma).collect()
        }
        (first, ..) => first.unwrap_or_default().to_vec(),
    }
}

/// Turns the hue of an image of three planes by a share of the circle.
fn turn(pixels: &mut [f32], share: f32) {
    let plane = pixels.len() / 3;
    let (red, others) = pixels.split_at_mut(plane);
    let (green, blue) = others.split_at_mut(plane);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = turned([*r, *g, *b], share);
    }
}

/// The colour with its hue turned, and with the same largest and smallest part: through hue, saturation and value.
fn turned([r, g, b]: [f32; 3], share: f32) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range <= 0.0 {
        return [r, g, b];
    }
    let sixth = if most == r {
        (g - b) / range
    } else if most == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    let sixth = (sixth + share * 6.0).rem_euclid(6.0);
    let part = |shift: f32| {
        let k = (shift + sixth).rem_euclid(6.0);
        most - range * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [part(5.0), part(3.0), part(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_circle_turns_red_to_green_and_a_whole_one_changes_nothing() {
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(turned([1.0, 0.0, 0.0], 1.0 / 3.0), [0.0, 1.0, 0.0]));
        assert!(close(turned([1.0, 0.0, 0.0], -1.0 / 3.0), [0.0, 0.0, 1.0]));
        for colour in [[0.2, 0.5, 0.9], [0.9, 0.1, 0.3], [0.4, 0.4, 0.4], [0.3, 0.8, 0.1]] {
            assert!(close(turned(colour, 1.0), colour) && close(turned(colour, 0.0), colour), "{colour:?}");
        }
    }

    #[test]
    fn the_grey_of_a_pixel_is_its_luma() {
        let grey = greys(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 3);
        assert_eq!(grey, [0.2989, 0.587]);
        assert_eq!(greys(&[0.5, 0.25], 1), [0.5, 0.25]);
    }
}
