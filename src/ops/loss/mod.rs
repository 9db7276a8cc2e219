//! Losses, each the mean over the rows of a batch.

mod binary_cross_entropy;
mod cross_entropy;
mod cuda;
mod squared_error;
#[cfg(test)]
mod tests;

pub use binary_cross_entropy::binary_cross_entropy;
pub use cross_entropy::cross_entropy;
pub use squared_error::mean_squared_error;
