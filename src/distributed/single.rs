//! A run in one process.

use super::{Communicator, CommunicatorError};
use crate::optim::Gradients;

/// A single process: each sum is its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleProcess;

impl Communicator for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn sum_in_order(&self, own: Gradients) -> Result<Gradients, CommunicatorError> {
        Ok(own)
    }

    fn gather(&self, own: Vec<f64>) -> Result<Vec<f64>, CommunicatorError> {
        Ok(own)
    }
}
