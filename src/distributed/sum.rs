//! The gradients of a batch: those of its micro-batches, added in one order by any number of processes.

use std::convert::Infallible;
use std::ops::Range;

use candle_core::{DType, Device, Storage, Tensor};
use thiserror::Error;

use super::on_device::OnDevice;
use super::tree::{Node, Sums, nodes_of};
use super::{AT_ONCE, Communicator, CommunicatorError, Message, link_of, share};
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
    let len: usize = like.iter().map(|tensor| tensor.elem_count()).sum();
    let mut sums = Vec::with_capacity(like.len());
    let (mut rest, mut sum) = (like.iter(), Vec::<T>::new());
    let mut tensor = rest.next();
    let exchange = Exchange::new(communicator, count);
    for start in (0..len).step_by(AT_ONCE) {
        let found = exchange.sum(&own, start..(start + AT_ONCE).min(len)).map_err(SumError::Communicator)?;
        let mut numbers = found.numbers::<T>();
        // A tensor may be in several exchanges.
        while let Some(like) = tensor {
            let missing = like.elem_count() - sum.len();
            let (of_tensor, after) = numbers.split_at(missing.min(numbers.len()));
            sum.extend_from_slice(of_tensor);
            numbers = after;
            if sum.len() < like.elem_count() {
                break;
            }
            sums.push(
                Tensor::from_vec(std::mem::take(&mut sum), like.shape(), &Device::Cpu)?.to_device(like.device())?,
            );
            tensor = rest.next();
        }
    }
    while let Some(empty) = tensor {
        sums.push(empty.zeros_like()?);
        tensor = rest.next();
    }
    Ok(sums)
}

/// The numbers of some tensors, one after the other.
struct Line<'a, T: Real> {
    tensors: Vec<(usize, Numbers<'a, T>)>,
}

/// The numbers of a tensor, in its memory or copied from its device.
enum Numbers<'a, T> {
    Here(&'a Tensor, Range<usize>),
    Copied(Vec<T>),
}

impl<'a, T: Real> Line<'a, T> {
    fn of(tensors: &'a [Tensor]) -> candle_core::Result<Self> {
        let mut start = 0;
        let line = tensors.iter().map(|tensor| {
            let numbers = match tensor.layout().contiguous_offsets() {
                Some((start, end)) if tensor.device().is_cpu() => Numbers::Here(tensor, start..end),
                _ => Numbers::Copied(tensor.flatten_all()?.to_vec1::<T>()?),
            };
            start += tensor.elem_count();
            Ok((start - tensor.elem_count(), numbers))
        });
        Ok(Self { tensors: line.collect::<candle_core::Result<_>>()? })
    }

    /// Copies the numbers at these places of the line.
    fn copy(&self, places: Range<usize>, to: &mut [T]) -> candle_core::Result<()> {
        let first = self.tensors.partition_point(|(start, _)| *start <= places.start).saturating_sub(1);
        for (start, numbers) in self.tensors[first..].iter().take_while(|(start, _)| *start < places.end) {
            let mut copy = |numbers: &[T]| {
                let (from, until) = (places.start.max(*start), places.end.min(start + numbers.len()));
                if from < until {
                    let to = &mut to[from - places.start..until - places.start];
                    to.copy_from_slice(&numbers[from - start..until - start]);
                }
            };
            match numbers {
                Numbers::Copied(numbers) => copy(numbers),
                Numbers::Here(tensor, place) => {
                    if let Storage::Cpu(storage) = &*tensor.storage_and_layout().0 {
                        copy(&T::cpu_storage_as_slice(storage)?[place.clone()]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// An exchange of nodes between the processes.
struct Exchange<'a> {
    communicator: &'a dyn Communicator,
    /// The nodes of each process.
    nodes: Vec<Vec<Node>>,
}

impl<'a> Exchange<'a> {
    fn new(communicator: &'a dyn Communicator, count: usize) -> Self {
        let world = communicator.world();
        Self { communicator, nodes: (0..world).map(|rank| nodes_of(share(count, rank, world), count)).collect() }
    }

    /// Returns the sum of all nodes of all processes at some places. Process `r` adds part `r` of them.
    fn sum<T: Real>(&self, own: &[Line<'_, T>], places: Range<usize>) -> Result<Message, CommunicatorError> {
        let (rank, world) = (self.communicator.rank(), self.nodes.len());
        let parts: Vec<Range<usize>> = (0..world).map(|rank| share(places.len(), rank, world)).collect();
        let bytes = |numbers: usize| numbers * size_of::<T>();
        let mut sent = Message::sized(bytes(places.len() * own.len()));
        let mut rest = sent.numbers_mut::<T>();
        for part in &parts {
            for node in own {
                let (to, after) = rest.split_at_mut(part.len());
                node.copy(places.start + part.start..places.start + part.end, to)?;
                rest = after;
            }
        }
        let sizes: Vec<usize> = parts.iter().map(|part| bytes(part.len() * own.len())).collect();
        let width = parts[rank].len();
        let coming: Vec<usize> = self.nodes.iter().map(|nodes| bytes(width * nodes.len())).collect();
        let mut received = self.communicator.all_to_all(sent, &sizes, &coming)?;
        self.add(received.numbers_mut::<T>(), width);
        received.truncate(bytes(width));
        let sizes: Vec<usize> = parts.iter().map(|part| bytes(part.len())).collect();
        self.communicator.all_gather(received, &sizes)
    }

    /// Adds the parts of all nodes, from left to right of `width` numbers each. The first of them then has the sum.
    fn add<T: Real>(&self, parts: &mut [T], width: usize) {
        if width == 0 {
            return;
        }
        let mut sums: Sums<&mut [T]> = Sums::new();
        fn add<'a, T: Real>(left: &'a mut [T], right: &'a mut [T]) -> Result<&'a mut [T], Infallible> {
            left.iter_mut().zip(&*right).for_each(|(left, right)| *left += *right);
            Ok(left)
        }
        for (node, part) in self.nodes.iter().flatten().zip(parts.chunks_exact_mut(width)) {
            let Ok(()) = sums.push(*node, part, add);
        }
        let Ok(()) = sums.close(add);
    }
}

#[cfg(test)]
mod tests {
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
