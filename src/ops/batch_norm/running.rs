//! The running statistics of a batch norm, and the statistics of batches that move them.

use std::cell::RefCell;

use candle_core::{DType, Device, Result, Tensor, Var};

thread_local! {
    /// The batches that batch norms on this thread have seen, if they are collected.
    static COLLECTED: RefCell<Option<Vec<Seen>>> = const { RefCell::new(None) };
}

/// The statistics of a batch, which move the running statistics of a batch norm towards them.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The running mean, `[channels]`.
    pub running_mean: Var,
    /// The running variance, `[channels]`.
    pub running_variance: Var,
    /// Mean of the batch, `[channels]`.
    pub mean: Tensor,
    /// Biased variance of the batch, `[channels]`.
    pub variance: Tensor,
    /// The number of values of each channel, at least 2.
    pub count: usize,
    /// The weight of the batch's statistics.
    pub momentum: f64,
}

impl Seen {
    /// Moves the running statistics. The running variance is unbiased, as in PyTorch.
    ///
    /// # Errors
    /// The shapes do not fit or the device fails.
    pub fn apply(&self) -> Result<()> {
        let towards = |running: &Var, found: &Tensor, factor: f64| {
            // Metal has no f64.
            let wide = if running.device().is_metal() { DType::F32 } else { DType::F64 };
            let kept = (running.to_dtype(wide)? * (1.0 - self.momentum))?;
            let found = found.to_device(running.device())?.to_dtype(wide)?;
            let moved = (kept + (found * (self.momentum * factor))?)?;
            running.set(&moved.to_dtype(running.dtype())?)
        };
        towards(&self.running_mean, &self.mean, 1.0)?;
        towards(&self.running_variance, &self.variance, self.count as f64 / (self.count as f64 - 1.0))
    }

    /// Returns mean and variance of the batch.
    ///
    /// # Errors
    /// The device fails.
    pub fn values(&self) -> Result<[Vec<f64>; 2]> {
        let values = |x: &Tensor| x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>();
        Ok([values(&self.mean)?, values(&self.variance)?])
    }

    /// Applies it at once, unless it is collected.
    pub(crate) fn settle(self) -> Result<()> {
        let applies = COLLECTED.with_borrow_mut(|collected| match collected {
            Some(all) => {
                all.push(self);
                None
            }
            None => Some(self),
        });
        applies.map_or(Ok(()), |seen| seen.apply())
    }
}

/// Calls `f`, and returns what batch norms have seen meanwhile, in their order, instead of moving their running
/// statistics. Several processes apply what all of them have seen in the order of the micro-batches.
pub fn collect_seen<T>(f: impl FnOnce() -> T) -> (T, Vec<Seen>) {
    let outer = COLLECTED.replace(Some(Vec::new()));
    let found = f();
    (found, COLLECTED.replace(outer).unwrap_or_default())
}
