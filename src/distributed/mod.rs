//! One run in several processes: each computes some pieces of every batch, and all make the same update.
//!
//! A [`Communicator`] connects them. Per step the loop asks it for two things: the sum of the gradients, before their
//! norm is computed, and the losses of all pieces. Your own training loop does the same:
//! [`Gradients::from_tape`](Gradients::from_tape) each piece, [`Communicator::sum_in_order`], then [`Gradients::measure`].
//!
//! Sums are added in the order of the ranks, and never by a library whose order depends on the number of processes or
//! the length of a vector. A batch has `train.accumulate` pieces for any number of processes. If each process has one
//! of them, a run has the same bits as in one process; if a process has several, it adds these first, which rounds
//! differently.

mod single;

use std::error::Error;
use std::ops::Range;

use crate::optim::Gradients;

pub use single::SingleProcess;

/// Why a [`Communicator`] failed: another process has ended, for example. It is said in a message after the rank and
/// the step.
pub type CommunicatorError = Box<dyn Error + Send + Sync>;

/// The connection between the processes of a run. Each process calls the same methods in the same order, and waits in
/// each call for the others.
pub trait Communicator {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are, at least 1.
    fn world(&self) -> usize;

    /// The sum of the gradients of all processes, `((rank 0 + rank 1) + rank 2) + …`: the same bits in each of them.
    /// [`Gradients::tensors`] is what has to be moved, [`Gradients::plus`] adds, and [`Gradients::with_tensors`] takes
    /// in what has come from elsewhere.
    ///
    /// # Errors
    /// When another process cannot be reached.
    fn sum_in_order(&self, own: Gradients) -> Result<Gradients, CommunicatorError>;

    /// The numbers of all processes, those of rank 0 first. A process may have more of them than another.
    ///
    /// # Errors
    /// When another process cannot be reached.
    fn gather(&self, own: Vec<f64>) -> Result<Vec<f64>, CommunicatorError>;
}

/// Which of the `count` pieces of a batch this process computes: neighbours, so that the order of the ranks is that of
/// the pieces. None where there are fewer pieces than processes.
pub(crate) fn own_pieces(communicator: &dyn Communicator, count: usize) -> Range<usize> {
    let each = count.div_ceil(communicator.world().max(1));
    let start = (communicator.rank() * each).min(count);
    start..(start + each).min(count)
}

/// A process by its rank and the number of processes, connected to none.
#[cfg(test)]
pub(crate) struct Rank(pub usize, pub usize);

#[cfg(test)]
impl Communicator for Rank {
    fn rank(&self) -> usize {
        self.0
    }

    fn world(&self) -> usize {
        self.1
    }

    fn sum_in_order(&self, own: Gradients) -> Result<Gradients, CommunicatorError> {
        Ok(own)
    }

    fn gather(&self, own: Vec<f64>) -> Result<Vec<f64>, CommunicatorError> {
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_computed_once_and_in_order_of_rank() {
        for (count, world) in [(1, 1), (5, 1), (4, 2), (5, 2), (5, 3), (1, 3), (8, 3)] {
            let all = (0..world).flat_map(|rank| own_pieces(&Rank(rank, world), count));
            assert!(all.eq(0..count), "{count} pieces in {world} processes");
        }
    }
}
