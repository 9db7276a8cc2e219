//! Stochastic depth of a model of residual blocks: how likely each block is dropped, and from which random numbers.

use candle_core::{Result, Tensor};

use super::ModelError;
use crate::ops;
use crate::rng::StepRng;

/// The stochastic depth of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockDrop {
    /// The number of the block in the model.
    block: usize,
    /// The probability that a residual branch is dropped.
    p: f64,
}

impl BlockDrop {
    /// The stochastic depth of block number `block`, from 0, of `blocks`, if it is `last` for the last one: it grows
    /// evenly from 0 at the first, as in timm. Huang et al. (ECCV 2016, equation 4) begin with `last / blocks`.
    pub fn new(last: f64, block: usize, blocks: usize) -> Self {
        Self { block, p: last * block as f64 / blocks.saturating_sub(1).max(1) as f64 }
    }

    /// The random numbers, if the block is in training and can be dropped.
    pub fn in_training<'a>(&self, draws: Option<&'a StepRng>) -> Option<&'a StepRng> {
        draws.filter(|_| self.p > 0.0)
    }

    /// Drops rows of a residual branch in training; a block with several names each `part`.
    pub fn of(&self, branch: Tensor, draws: Option<&StepRng>, part: &str) -> Result<Tensor> {
        match self.in_training(draws) {
            Some(draws) => ops::drop_path(&branch, self.p, draws, &format!("drop_path/{}/{part}", self.block)),
            None => Ok(branch),
        }
    }
}

/// Checks the stochastic depth of a model with this number of blocks.
pub(super) fn check(stochastic_depth: f64, blocks: usize) -> std::result::Result<(), ModelError> {
    let refused = |rule| Err(ModelError::field("stochastic_depth", stochastic_depth, rule));
    if !(0.0..1.0).contains(&stochastic_depth) {
        return refused("must be at least 0 and below 1");
    }
    if stochastic_depth > 0.0 && blocks < 2 {
        return refused("drops nothing in a model of one block, because the first block is always kept; set it to 0");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[x.item() for x in torch.linspace(0, 0.2, 5)]`, as in timm.
    #[test]
    fn the_probability_grows_evenly_to_that_of_the_last_block() {
        let rates: Vec<f64> = (0..5).map(|block| BlockDrop::new(0.2, block, 5).p).collect();
        assert!(rates.iter().zip([0.0, 0.05, 0.1, 0.15, 0.2]).all(|(a, b)| (a - b).abs() < 1e-15), "{rates:?}");
        assert_eq!(BlockDrop::new(0.2, 0, 1).p, 0.0);
    }

    #[test]
    fn a_probability_that_cannot_be_or_drops_nothing_is_refused() {
        for (value, blocks) in [(1.0, 4), (-0.1, 4), (f64::NAN, 4), (0.1, 1)] {
            let message = check(value, blocks).unwrap_err().to_string();
            assert!(message.starts_with("model.stochastic_depth = "), "{message}");
        }
        assert!(check(0.0, 1).is_ok() && check(0.5, 2).is_ok());
    }
}
