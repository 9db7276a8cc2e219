//! Losses, each the mean over the rows of a batch.

mod binary_cross_entropy;
mod cross_entropy;
mod cuda;
mod focal;
mod of_classes;
mod of_values;
mod soft_cross_entropy;
mod squared_error;
#[cfg(test)]
mod tests;
mod weighted_binary_cross_entropy;
mod weighted_cross_entropy;

pub use binary_cross_entropy::binary_cross_entropy;
pub use cross_entropy::cross_entropy;
pub use focal::focal;
pub(crate) use of_values::check_targets;
pub use of_values::{huber, mean_absolute_error, poisson};
pub use soft_cross_entropy::soft_cross_entropy;
pub use squared_error::mean_squared_error;
pub use weighted_binary_cross_entropy::weighted_binary_cross_entropy;
pub use weighted_cross_entropy::{RowWeights, weighted_cross_entropy};

use candle_core::WithDType;

use crate::cpu::{self, Real};

/// The mean of `loss` over outputs and targets, element by element: a task's elements first, then the tasks in order.
fn mean<T: Real>(outputs: &[T], targets: &[T], loss: impl Fn(T, T) -> T + Copy + Sync + Send) -> T {
    let sums = cpu::map_rows(outputs.len(), 1, |range| {
        let sum = cpu::vectorized(
            #[inline(always)]
            || cpu::sum2(&outputs[range.clone()], &targets[range], loss),
        );
        WithDType::to_f64(sum)
    });
    T::of(sums.iter().sum::<f64>() / outputs.len() as f64)
}
