//! Batch norms whose statistics are those of several micro-batches, which are computed at the same time.
//!
//! The sums over all micro-batches are added in their order, so no bit depends on who computes which of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::{Result, bail};

use super::cpu::Moments;

/// Gives the numbers of this micro-batch, and returns those of all of them, in their order.
type Exchange = dyn Fn(Vec<f64>) -> Result<Arc<Vec<Vec<f64>>>>;

thread_local! {
    /// How the micro-batch on this thread is synchronized with others, if it is.
    static EXCHANGE: RefCell<Option<Rc<Exchange>>> = const { RefCell::new(None) };
}

/// Calls `f`, the forward and backward pass of a micro-batch. Its batch norms take the statistics of all micro-batches:
/// `exchange` gives the numbers of this one to the others, and returns those of all in the order of the micro-batches,
/// such as [`distributed::Place::exchange`](crate::distributed::Place::exchange). All must have the same operations.
///
/// Only the CPU has such batch norms.
pub fn synchronized<T>(
    exchange: impl Fn(Vec<f64>) -> Result<Arc<Vec<Vec<f64>>>> + 'static,
    f: impl FnOnce() -> T,
) -> T {
    let outer = EXCHANGE.replace(Some(Rc::new(exchange)));
    let found = f();
    EXCHANGE.set(outer);
    found
}

/// Whether batch norms on this thread are synchronized.
pub(super) fn is_on() -> bool {
    EXCHANGE.with_borrow(Option::is_some)
}

/// Exchanges as many numbers as each micro-batch has.
fn exchange(own: Vec<f64>) -> Result<Arc<Vec<Vec<f64>>>> {
    let Some(exchange) = EXCHANGE.with_borrow(Clone::clone) else {
        bail!("a batch norm was synchronized in its forward pass, and is not in its backward pass")
    };
    let count = own.len();
    let all = exchange(own)?;
    match all.iter().find(|part| part.len() != count) {
        Some(part) => bail!("batch norm: a micro-batch exchanges {} numbers, and another one {count}", part.len()),
        None => Ok(all),
    }
}

/// Returns the moments of each channel over all micro-batches, and how many values a channel has. `own` are those of this
/// micro-batch, over `count` values.
pub(super) fn moments_of_all(own: &[Moments], count: usize) -> Result<(Vec<Moments>, usize)> {
    let of_channels = own.iter().flat_map(|moments| [moments.mean, moments.variance]);
    let all = exchange(std::iter::once(count as f64).chain(of_channels).collect())?;
    let total: f64 = all.iter().map(|part| part[0]).sum();
    let of_channel = |channel: usize| {
        let parts = || all.iter().map(move |part| (part[0], part[1 + 2 * channel], part[2 + 2 * channel]));
        let mean = parts().map(|(count, mean, _)| count * mean).sum::<f64>() / total;
        let squares = parts().map(|(count, of_part, variance)| count * (variance + (of_part - mean).powi(2)));
        Moments { mean, variance: squares.sum::<f64>() / total }
    };
    Ok(((0..own.len()).map(of_channel).collect(), total as usize))
}

/// Returns the sums of two numbers for each channel over all micro-batches.
pub(super) fn sums_of_all(own: &[[f64; 2]]) -> Result<Vec<[f64; 2]>> {
    let all = exchange(own.as_flattened().to_vec())?;
    let sum = |at: usize| all.iter().map(|part| part[at]).sum::<f64>();
    Ok((0..own.len()).map(|channel| [sum(2 * channel), sum(2 * channel + 1)]).collect())
}
