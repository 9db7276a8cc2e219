//! The gradients of a batch: those of its micro-batches, added in one order by any number of processes.

use std::ops::Range;

use candle_core::{DType, Tensor};
use thiserror::Error;

use super::line::{Line, Made};
use super::on_device::OnDevice;
use super::tree::{Node, Sums, nodes_of};
use super::{AT_ONCE, Communicator, CommunicatorError, by_messages, link_of, share, shared_memory};
use crate::cpu::Real;
use crate::optim::{Gradients, OptimError};
use crate::parameters::Parameters;

/// Why the gradients of a batch cannot be added.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SumError {
    /// Another process cannot be reached.
    #[error(transparent)]
    Communicator(CommunicatorError),
    /// The gradients do not fit together, or a device fails.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// A batch without micro-batches.
    #[error("a batch without micro-batches has no gradients")]
    Empty,
    /// A micro-batch that belongs to another process, or is not the next one.
    #[error("micro-batch {given} was added, and the next of this process is {next}")]
    Order {
        /// Its number.
        given: usize,
        /// The number of the next one.
        next: usize,
    },
    /// The sum was finished before all micro-batches of this process were added.
    #[error("micro-batch {next} is missing in the sum of {count}")]
    Missing {
        /// The number of the first one that is missing.
        next: usize,
        /// How many the batch has.
        count: usize,
    },
    /// Gradients of a type that is not exchanged between processes.
    #[error("gradients of {0:?} are not exchanged between processes; train weights of F32 or F64")]
    Type(DType),
}

impl From<candle_core::Error> for SumError {
    fn from(error: candle_core::Error) -> Self {
        Self::Optim(error.into())
    }
}

/// The sum of the gradients of a batch's micro-batches.
///
/// Neighbours are added in pairs, then pairs of pairs: `((0 + 1) + (2 + 3)) + 4`, in one process or in several. Every
/// process adds the whole nodes of this tree among its own micro-batches. Then process `r` gets the `r`-th part of
/// each node's sum from all the others, adds these along the tree, and sends the result to all.
pub struct GradientSum<'a> {
    communicator: &'a dyn Communicator,
    count: usize,
    own: Range<usize>,
    sums: Sums<Gradients>,
}

impl<'a> GradientSum<'a> {
    /// Begins the sum for a batch of `count` micro-batches.
    pub fn new(communicator: &'a dyn Communicator, count: usize) -> Self {
        let own = share(count, communicator.rank(), communicator.world());
        Self { communicator, count, own, sums: Sums::new() }
    }

    /// Returns the numbers of the micro-batches that this process computes and has not added yet, in the order in which
    /// it adds them.
    pub fn own(&self) -> Range<usize> {
        self.own.clone()
    }

    /// Adds the gradients of micro-batch `number`. Each process has at most one sum for each bit of `count` in memory.
    ///
    /// # Errors
    /// It is not the next of [`GradientSum::own`], or it has gradients of other parameters.
    pub fn add(&mut self, number: usize, gradients: Gradients) -> Result<(), SumError> {
        if self.own.is_empty() || number != self.own.start {
            return Err(SumError::Order { given: number, next: self.own.start });
        }
        self.own.start += 1;
        self.sums.push(Node::leaf(number), gradients, |left, right| left.plus(&right))?;
        if number + 1 == self.count {
            self.sums.close(|left, right| left.plus(&right))?;
        }
        Ok(())
    }

    /// Returns the sum over all micro-batches of the batch: the same bits in each process. `parameters` are those of the
    /// gradients.
    ///
    /// # Errors
    /// Micro-batches of this process are missing, or there is none at all; another process cannot be reached, or a device
    /// fails.
    pub fn finish(self, parameters: &Parameters) -> Result<Gradients, SumError> {
        if !self.own.is_empty() {
            return Err(SumError::Missing { next: self.own.start, count: self.count });
        }
        let (communicator, count) = (self.communicator, self.count);
        let mut own = self.sums.into_sums();
        if communicator.world() == 1 {
            return own.pop().ok_or(SumError::Empty);
        }
        let like: Vec<&Tensor> = parameters.iter().map(|(_, parameter)| parameter.as_tensor()).collect();
        let link = link_of(communicator, like.iter().copied());
        let mut sum: Vec<Option<Tensor>> = vec![None; like.len()];
        for dtype in [DType::F32, DType::F64] {
            let chosen: Vec<usize> = (0..like.len()).filter(|&at| like[at].dtype() == dtype).collect();
            let of = |tensors: &[Tensor]| chosen.iter().map(|&at| tensors[at].clone()).collect::<Vec<_>>();
            let own: Vec<Vec<Tensor>> = own.iter().map(|gradients| of(gradients.tensors())).collect();
            let like: Vec<&Tensor> = chosen.iter().map(|&at| like[at]).collect();
            let found = match (link, dtype) {
                (Some(link), _) => {
                    let places = [communicator.rank(), communicator.world()];
                    OnDevice::new(link, places, count, dtype).sum(&own, &like, AT_ONCE)?
                }
                (None, DType::F64) => sum_of::<f64>(communicator, count, &own, &like)?,
                (None, _) => sum_of::<f32>(communicator, count, &own, &like)?,
            };
            chosen.into_iter().zip(found).for_each(|(at, tensor)| sum[at] = Some(tensor));
        }
        let other = like.iter().zip(&sum).find_map(|(like, sum)| sum.is_none().then(|| like.dtype()));
        if let Some(dtype) = other {
            return Err(SumError::Type(dtype));
        }
        Ok(Gradients::of_tensors(parameters, sum.into_iter().flatten().collect())?)
    }
}

/// Returns the sum of the tensors of all processes, which have the shapes and the devices of `like`. `own` are the nodes
/// of this process.
fn sum_of<T: Real>(
    communicator: &dyn Communicator,
    count: usize,
    own: &[Vec<Tensor>],
    like: &[&Tensor],
) -> Result<Vec<Tensor>, SumError> {
    let own = own.iter().map(|tensors| Line::<T>::of(tensors)).collect::<candle_core::Result<Vec<_>>>()?;
    let len = like.iter().map(|tensor| tensor.elem_count()).sum();
    let (rank, world) = (communicator.rank(), communicator.world());
    let nodes: Vec<Vec<Node>> = (0..world).map(|rank| nodes_of(share(count, rank, world), count)).collect();
    let mut made = Made::new(like);
    let take = |numbers: &[T]| made.take(numbers);
    let summed = match communicator.memory() {
        Some(memory) => shared_memory::sum(memory, rank, &nodes, &own, len, take),
        None => by_messages::sum(communicator, &nodes, &own, len, take),
    };
    summed.map_err(SumError::Communicator)?;
    Ok(made.finish()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::distributed::SingleProcess;

    #[test]
    fn a_sum_of_nothing_and_one_that_is_not_complete_are_refused() {
        let told = |count| GradientSum::new(&SingleProcess, count).finish(&Parameters::new()).unwrap_err().to_string();
        assert_eq!(told(0), "a batch without micro-batches has no gradients");
        assert_eq!(told(2), "micro-batch 0 is missing in the sum of 2");
    }

    #[test]
    fn a_micro_batch_out_of_order_is_refused_and_the_next_one_is_named() {
        let mut sum = GradientSum::new(&SingleProcess, 2);
        let loss = Tensor::new(0f32, &Device::Cpu).unwrap();
        let told = sum.add(1, Gradients::from_loss(&loss, &Parameters::new()).unwrap()).unwrap_err().to_string();
        assert_eq!(told, "micro-batch 1 was added, and the next of this process is 0");
        assert_eq!(sum.own(), 0..2);
    }
}
