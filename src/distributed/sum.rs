//! The gradients of a batch: those of its micro-batches, added in one order by any number of processes.

use std::convert::Infallible;
use std::ops::Range;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use thiserror::Error;

use super::tree::{Node, Sums, nodes_of};
use super::{Communicator, CommunicatorError, share};
use crate::cpu::Real;
use crate::optim::{Gradients, OptimError};
use crate::parameters::Parameters;

/// Numbers that are exchanged at a time, so that the memory beside the gradients stays small.
const AT_ONCE: usize = 1 << 22;

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
    /// A micro-batch that belongs to another process, or is not the next one.
    #[error("micro-batch {given} was added, and the next of this process is {next}")]
    Order {
        /// Its number.
        given: usize,
        /// The number of the next one.
        next: usize,
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
        if self.own.next() != Some(number) {
            return Err(SumError::Order { given: number, next: self.own.start });
        }
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
    /// Another process cannot be reached, or a device fails.
    pub fn finish(self, parameters: &Parameters) -> Result<Gradients, SumError> {
        if let Some(micro_batch) = self.own.clone().next() {
            return Err(SumError::Order { given: self.count, next: micro_batch });
        }
        let (communicator, count) = (self.communicator, self.count);
        let mut own = self.sums.into_sums();
        if communicator.world() == 1 {
            return own.pop().ok_or(SumError::Order { given: 0, next: 0 });
        }
        let like: Vec<&Tensor> = parameters.iter().map(|(_, parameter)| parameter.as_tensor()).collect();
        let mut sum: Vec<Option<Tensor>> = vec![None; like.len()];
        for dtype in [DType::F32, DType::F64] {
            let chosen: Vec<usize> = (0..like.len()).filter(|&at| like[at].dtype() == dtype).collect();
            let of = |tensors: &[Tensor]| chosen.iter().map(|&at| tensors[at].clone()).collect::<Vec<_>>();
            let own: Vec<Vec<Tensor>> = own.iter().map(|gradients| of(gradients.tensors())).collect();
            let like: Vec<&Tensor> = chosen.iter().map(|&at| like[at]).collect();
            let found = match dtype {
                DType::F64 => sum_of::<f64>(communicator, count, &own, &like)?,
                _ => sum_of::<f32>(communicator, count, &own, &like)?,
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
    let len: usize = like.iter().map(|tensor| tensor.elem_count()).sum();
    let own = own.iter().map(|tensors| numbers_of::<T>(tensors, len)).collect::<candle_core::Result<Vec<_>>>()?;
    let mut sum = vec![T::zero(); len];
    let exchange = Exchange::new(communicator, count);
    for start in (0..len).step_by(AT_ONCE) {
        let place = start..(start + AT_ONCE).min(len);
        let own: Vec<&[T]> = own.iter().map(|numbers| &numbers[place.clone()]).collect();
        exchange.sum(&own, &mut sum[place]).map_err(SumError::Communicator)?;
    }
    let mut rest = &sum[..];
    let tensors = like.iter().map(|like| {
        let (numbers, after) = rest.split_at(like.elem_count());
        rest = after;
        Tensor::from_slice(numbers, like.shape(), &Device::Cpu)?.to_device(like.device())
    });
    Ok(tensors.collect::<candle_core::Result<_>>()?)
}

/// Returns the numbers of contiguous tensors one after the other.
fn numbers_of<T: Real>(tensors: &[Tensor], len: usize) -> candle_core::Result<Vec<T>> {
    let mut numbers = Vec::with_capacity(len);
    for tensor in tensors {
        let (storage, layout) = tensor.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((start, end))) => numbers.extend_from_slice(&slice::<T>(storage)?[start..end]),
            _ => numbers.extend(tensor.flatten_all()?.to_vec1::<T>()?),
        }
    }
    Ok(numbers)
}

fn slice<T: Real>(storage: &CpuStorage) -> candle_core::Result<&[T]> {
    T::cpu_storage_as_slice(storage)
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

    /// Writes the sum of all nodes of all processes to `sum`. Process `r` adds part `r` of the numbers.
    fn sum<T: Real>(&self, own: &[&[T]], sum: &mut [T]) -> Result<(), CommunicatorError> {
        let (rank, world, len) = (self.communicator.rank(), self.nodes.len(), sum.len());
        let parts: Vec<Range<usize>> = (0..world).map(|rank| share(len, rank, world)).collect();
        let bytes = |numbers: usize| numbers * size_of::<T>();
        let sent: Vec<usize> = parts.iter().map(|part| bytes(part.len() * own.len())).collect();
        let together: Vec<T>;
        let sending = match own {
            // The parts of a single node follow each other.
            [node] => node,
            _ => {
                together = parts.iter().flat_map(|part| own.iter().flat_map(|node| &node[part.clone()])).copied().collect();
                &together[..]
            }
        };
        let width = parts[rank].len();
        let coming: Vec<usize> = self.nodes.iter().map(|nodes| bytes(width * nodes.len())).collect();
        let mut received = vec![T::zero(); coming.iter().sum::<usize>() / size_of::<T>()];
        self.communicator.all_to_all(
            bytemuck::cast_slice(sending),
            &sent,
            bytemuck::cast_slice_mut(&mut received),
            &coming,
        )?;
        let part = self.add(&mut received, width);
        let sizes: Vec<usize> = parts.iter().map(|part| bytes(part.len())).collect();
        self.communicator.all_gather(bytemuck::cast_slice(part), bytemuck::cast_slice_mut(sum), &sizes)
    }

    /// Returns the sum of the parts of all nodes, from left to right of `width` numbers each.
    fn add<'b, T: Real>(&self, parts: &'b mut [T], width: usize) -> &'b [T] {
        let mut sums: Sums<&mut [T]> = Sums::new();
        let add = |left: &'b mut [T], right: &'b mut [T]| -> Result<&'b mut [T], Infallible> {
            left.iter_mut().zip(&*right).for_each(|(left, right)| *left += *right);
            Ok(left)
        };
        if width == 0 {
            return &[];
        }
        for (node, part) in self.nodes.iter().flatten().zip(parts.chunks_exact_mut(width)) {
            let Ok(()) = sums.push(*node, part, add);
        }
        let Ok(()) = sums.close(add);
        match sums.into_sums().into_iter().next() {
            Some(sum) => sum,
            None => &[],
        }
    }
}
