//! Mixup and cutmix: each row of a batch is mixed with another one, and so are their targets.
//!
//! The row at place `i` is mixed with the one at place `i - 1`, the first with the last, and all rows of a batch with the
//! same share, as torchvision's `MixUp` and `CutMix`. Places and shares are those of the whole batch, whatever part of it
//! a process computes.

use candle_core::{D, DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::geometry::Size;
use super::probability::{Draws, Probability};
use crate::data::{Batch, DataError, TargetKind};
use crate::rng::StepRng;

/// How rows are mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// The parameter of the beta distribution of the share, above 0: with 1 all shares are equally probable, with less
    /// those near 0 and 1 more so.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub alpha: f64,
    /// The probability of mixing a batch. Default 1.
    #[serde(default)]
    pub probability: Probability,
}

impl Mix {
    pub(super) fn fault(&self) -> Option<&'static str> {
        let is_valid = self.alpha > 0.0 && self.alpha <= 100.0 && self.probability.is_valid();
        (!is_valid).then_some("takes an alpha above 0 and up to 100, and a probability from 0 to 1")
    }
}

/// How the rows of a batch are mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::data) enum Mixing {
    /// `share` of the row, and the rest of its partner.
    Whole { share: f64 },
    /// The rectangle around a centre, in shares of the height and the width, is the partner's.
    Part { share: f64, centre: [f64; 2] },
}

impl Mixing {
    /// Draws the mixing of a step. If both happen, one of them is taken at random.
    pub fn draw(mixup: Option<&Mix>, cutmix: Option<&Mix>, rng: &StepRng, epoch: u64) -> Option<Self> {
        let drawn = |mix: Option<&Mix>, purpose: &str| {
            let mix = mix?;
            let draws = Draws::new(rng, purpose, epoch, &mix.probability);
            draws.happens(0).then(|| (beta(mix.alpha, &draws), draws))
        };
        let whole = drawn(mixup, "augment/mixup").map(|(share, draws)| (Self::Whole { share }, draws));
        let part = drawn(cutmix, "augment/cutmix").map(|(share, draws)| {
            let [y, x, ..] = draws.uniform(0, 1);
            (Self::Part { share, centre: [y, x] }, draws)
        });
        match (whole, part) {
            (Some((whole, draws)), Some((part, _))) => {
                let [.., last] = draws.uniform(0, 0);
                Some(if last < 0.5 { whole } else { part })
            }
            (one, other) => one.or(other).map(|(mixing, _)| mixing),
        }
    }

    /// Returns the rows of `batch`, each mixed with the one of `partners` at its place.
    pub fn apply(self, batch: Batch, partners: Batch, targets: TargetKind) -> Result<Batch, DataError> {
        let (share, inputs) = match self {
            Self::Whole { share } => (share, blend(&batch.inputs, &partners.inputs, share)?),
            Self::Part { share, centre } => patched(&batch.inputs, &partners.inputs, share, centre)?,
        };
        let [own, others] = [&batch.targets, &partners.targets].map(|of_rows| as_numbers(of_rows, targets));
        Ok(Batch { inputs, targets: blend(&own?, &others?, share)? })
    }
}

fn blend(own: &Tensor, others: &Tensor, share: f64) -> candle_core::Result<Tensor> {
    (own * share)? + (others * (1.0 - share))?
}

/// Replaces a rectangle by that of the partners. Returns the share of the area that is left, and the images.
fn patched(own: &Tensor, others: &Tensor, share: f64, [y, x]: [f64; 2]) -> candle_core::Result<(f64, Tensor)> {
    let (_, _, height, width) = own.dims4()?;
    let (size, length) = (Size { height, width }, (1.0 - share).sqrt());
    let around = |centre: f64, whole: usize| {
        let (middle, half) = ((centre * whole as f64).floor(), (length * whole as f64 / 2.0).floor());
        let within = |edge: f64| edge.clamp(0.0, whole as f64) as usize;
        within(middle - half)..within(middle + half)
    };
    let (rows, columns) = (around(y, height), around(x, width));
    let mut pixels = own.flatten_all()?.to_vec1::<f32>()?;
    let source = others.flatten_all()?.to_vec1::<f32>()?;
    let planes = pixels.chunks_exact_mut(size.height * size.width).zip(source.chunks_exact(size.height * size.width));
    for (into, from) in planes {
        let lines = into.chunks_exact_mut(width).zip(from.chunks_exact(width));
        for (into, from) in lines.skip(rows.start).take(rows.len()) {
            into[columns.clone()].copy_from_slice(&from[columns.clone()]);
        }
    }
    let taken = (rows.len() * columns.len()) as f64 / (height * width) as f64;
    Ok((1.0 - taken, Tensor::from_vec(pixels, own.shape(), &Device::Cpu)?))
}

/// Returns classes as the probabilities of all classes, and values as they are.
fn as_numbers(targets: &Tensor, kind: TargetKind) -> candle_core::Result<Tensor> {
    let TargetKind::Classes { count } = kind else { return Ok(targets.clone()) };
    let every = Tensor::arange(0u32, count as u32, targets.device())?;
    targets.unsqueeze(D::Minus1)?.broadcast_eq(&every)?.to_dtype(DType::F32)
}

/// Draws a number of the beta distribution with both parameters `alpha`: the share of the first of two numbers of the
/// gamma distribution.
fn beta(alpha: f64, draws: &Draws) -> f64 {
    let (first, second) = (gamma(alpha, draws, 1), gamma(alpha, draws, 2));
    // For a tiny alpha both may be rounded to 0.
    if first + second > 0.0 { first / (first + second) } else { 1.0 }
}

/// Draws a number of the gamma distribution: Marsaglia and Tsang, "A simple method for generating gamma variables", ACM
/// Transactions on Mathematical Software 26 (2000); below 1 by their power of a uniform number. Of 100 attempts, each of
/// which succeeds with a probability above 0.95, one succeeds.
fn gamma(alpha: f64, draws: &Draws, number: usize) -> f64 {
    let d = if alpha < 1.0 { alpha + 1.0 } else { alpha } - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let found = (1..=100).find_map(|attempt| {
        let [a, b, u, _] = draws.uniform(number, attempt);
        let normal = (-2.0 * (1.0 - a).ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos();
        let v = (1.0 + c * normal).powi(3);
        let is_taken = v > 0.0 && (1.0 - u).ln() < 0.5 * normal * normal + d - d * v + d * v.ln();
        is_taken.then_some(d * v)
    });
    let drawn = found.unwrap_or(d);
    if alpha >= 1.0 {
        return drawn;
    }
    let [.., u] = draws.uniform(number, 0);
    drawn * (1.0 - u).powf(1.0 / alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(alpha: f64) -> Vec<f64> {
        let of = |step| beta(alpha, &Draws::new(&StepRng::at(1, step), "augment/mixup", 0, &Probability::default()));
        (0..40_000).map(of).collect()
    }

    /// 40,000 draws: the mean is 1/2 and the variance 1/(8 alpha + 4), within five standard errors.
    #[test]
    fn shares_have_the_beta_distribution() {
        for alpha in [0.1, 0.2, 1.0, 3.0] {
            let shares = shares(alpha);
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            let mean = shares.iter().sum::<f64>() / 4e4;
            let variance = shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() / 4e4;
            let expected = 1.0 / (8.0 * alpha + 4.0);
            assert!((mean - 0.5).abs() < 5.0 * (expected / 4e4).sqrt(), "{alpha}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.04, "{alpha}: {variance} instead of {expected}");
        }
    }

    fn batch(pixels: f32, classes: &[u32]) -> Batch {
        let inputs = Tensor::full(pixels, (2, 1, 4, 4), &Device::Cpu).unwrap();
        Batch { inputs, targets: Tensor::new(classes, &Device::Cpu).unwrap() }
    }

    #[test]
    fn pixels_and_targets_are_mixed_by_the_same_share() {
        let kind = TargetKind::Classes { count: 3 };
        let mixed = Mixing::Whole { share: 0.75 }.apply(batch(1.0, &[0, 2]), batch(3.0, &[1, 2]), kind).unwrap();
        assert_eq!(mixed.inputs.mean_all().unwrap().to_scalar::<f32>().unwrap(), 1.5);
        assert_eq!(mixed.targets.to_vec2::<f32>().unwrap(), [[0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]);
        // A quarter of the area has half of each side: from the middle, two of four pixels in each direction.
        let part = Mixing::Part { share: 0.75, centre: [0.5, 0.5] };
        let mixed = part.apply(batch(1.0, &[0, 2]), batch(3.0, &[1, 2]), kind).unwrap();
        let rows = mixed.inputs.get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[1.0; 4], [1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0], [1.0; 4]]);
        assert_eq!(mixed.targets.to_vec2::<f32>().unwrap()[0], [0.75, 0.25, 0.0]);
        // At a corner less is taken, and the targets follow.
        let corner = Mixing::Part { share: 0.75, centre: [0.0, 0.0] };
        let mixed = corner.apply(batch(1.0, &[0, 2]), batch(3.0, &[1, 2]), kind).unwrap();
        assert_eq!(mixed.targets.to_vec2::<f32>().unwrap()[0], [0.9375, 0.0625, 0.0]);
    }

    #[test]
    fn one_of_two_ways_is_taken_at_random() {
        let mix = Mix { alpha: 1.0, probability: Probability::default() };
        let drawn = (0..1000).filter_map(|step| Mixing::draw(Some(&mix), Some(&mix), &StepRng::at(3, step), 0));
        let whole = drawn.filter(|mixing| matches!(mixing, Mixing::Whole { .. })).count();
        // Five standard errors are 79.
        assert!((421..579).contains(&whole), "{whole}");
        assert_eq!(Mixing::draw(None, None, &StepRng::at(3, 0), 0), None);
    }
}
