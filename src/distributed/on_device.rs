//! The sum of gradients that stay on the devices of the processes: in the same order as through the memory of the hosts
//! ([`super::sum`]), and so with the same bits.

use std::ops::Range;

use candle_core::{DType, Tensor, Var};

use super::tree::{Node, Sums, nodes_of};
use super::{CommunicatorError, DeviceLink, SumError, share};

/// The numbers that the processes of a run add up.
pub(super) struct OnDevice<'a> {
    link: &'a dyn DeviceLink,
    rank: usize,
    /// The nodes of each process.
    nodes: Vec<Vec<Node>>,
    dtype: DType,
}

impl<'a> OnDevice<'a> {
    /// Begins sums of type `dtype` over `count` micro-batches in process `rank` of `world`.
    pub fn new(link: &'a dyn DeviceLink, [rank, world]: [usize; 2], count: usize, dtype: DType) -> Self {
        let nodes = (0..world).map(|rank| nodes_of(share(count, rank, world), count)).collect();
        Self { link, rank, nodes, dtype }
    }

    /// Returns the sum of the tensors of all processes, which have the shapes of `like`. `own` are those of the nodes of
    /// this process. Not more than `at_once` numbers are exchanged at a time.
    pub fn sum(&self, own: &[Vec<Tensor>], like: &[&Tensor], at_once: usize) -> Result<Vec<Tensor>, SumError> {
        let lines = own.iter().map(|tensors| Line::of(tensors)).collect::<candle_core::Result<Vec<_>>>()?;
        let len = like.iter().map(|tensor| tensor.elem_count()).sum();
        let mut sums = Filled { like, tensors: Vec::with_capacity(like.len()), parts: Vec::new() };
        for start in (0..len).step_by(at_once) {
            sums.add(&self.sum_at(&lines, start..(start + at_once).min(len))?)?;
        }
        Ok(sums.finish()?)
    }

    /// Returns the sum of all nodes of all processes at some places. Process `r` adds part `r` of them.
    fn sum_at(&self, own: &[Line], places: Range<usize>) -> Result<Tensor, SumError> {
        let world = self.nodes.len();
        let part = |rank: usize| {
            let part = share(places.len(), rank, world);
            places.start + part.start..places.start + part.end
        };
        let of_nodes = |rank| own.iter().map(|line| line.parts(part(rank))).collect::<candle_core::Result<Vec<_>>>();
        let parts = (0..world).map(|rank| joined(&of_nodes(rank)?.concat()));
        let parts = parts.collect::<candle_core::Result<Vec<_>>>()?;
        let width = part(self.rank).len();
        let sizes: Vec<usize> = self.nodes.iter().map(|nodes| width * nodes.len()).collect();
        let received = self.link.exchange(&parts, &sizes, self.dtype).map_err(failed)?;
        drop(parts);
        let sum = received.map(|received| self.add(&received, width)).transpose()?.flatten();
        let sizes: Vec<usize> = (0..world).map(|rank| part(rank).len()).collect();
        let all = self.link.exchange(&vec![sum; world], &sizes, self.dtype).map_err(failed)?;
        all.ok_or_else(|| failed("no process has sent a sum".into()))
    }

    /// Adds the parts of all nodes, which have `width` numbers each, along the tree.
    fn add(&self, parts: &Tensor, width: usize) -> candle_core::Result<Option<Tensor>> {
        let mut sums: Sums<Tensor> = Sums::new();
        let add = |left: Tensor, right: Tensor| &left + &right;
        for (number, node) in self.nodes.iter().flatten().enumerate() {
            sums.push(*node, parts.narrow(0, number * width, width)?, add)?;
        }
        sums.close(add)?;
        Ok(sums.into_sums().pop())
    }
}

/// A device may be what has failed, and not another process.
fn failed(error: CommunicatorError) -> SumError {
    match error.downcast::<candle_core::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => SumError::Communicator(error),
    }
}

/// The numbers of some tensors, one after the other.
struct Line {
    /// The place of the first number of each, and the tensor as a vector.
    tensors: Vec<(usize, Tensor)>,
}

impl Line {
    fn of(tensors: &[Tensor]) -> candle_core::Result<Self> {
        let mut end = 0;
        let line = tensors.iter().map(|tensor| {
            end += tensor.elem_count();
            Ok((end - tensor.elem_count(), tensor.detach().flatten_all()?.contiguous()?))
        });
        Ok(Self { tensors: line.collect::<candle_core::Result<_>>()? })
    }

    /// Returns the numbers at these places, in the parts of the tensors that have them.
    fn parts(&self, places: Range<usize>) -> candle_core::Result<Vec<Tensor>> {
        let first = self.tensors.partition_point(|(start, _)| *start <= places.start).saturating_sub(1);
        let fitting = self.tensors.iter().skip(first).take_while(|(start, _)| *start < places.end);
        let parts = fitting.filter_map(|(start, tensor)| {
            let (from, until) = (places.start.max(*start), places.end.min(start + tensor.elem_count()));
            (from < until).then(|| tensor.narrow(0, from - start, until - from))
        });
        parts.collect()
    }
}

/// Tensors that are put together from vectors, so that no vector stays in memory that is used up.
struct Filled<'a> {
    like: &'a [&'a Tensor],
    /// Those that are complete.
    tensors: Vec<Tensor>,
    /// The numbers of the next one.
    parts: Vec<Tensor>,
}

impl Filled<'_> {
    fn add(&mut self, piece: &Tensor) -> candle_core::Result<()> {
        let mut from = 0;
        while let Some(like) = self.like.get(self.tensors.len()) {
            let missing = like.elem_count() - self.parts.iter().map(Tensor::elem_count).sum::<usize>();
            let taken = missing.min(piece.elem_count() - from);
            if taken > 0 {
                self.parts.push(piece.narrow(0, from, taken)?);
                from += taken;
            }
            if taken < missing {
                break;
            }
            self.complete(like)?;
        }
        Ok(())
    }

    fn complete(&mut self, like: &Tensor) -> candle_core::Result<()> {
        let tensor = match &std::mem::take(&mut self.parts)[..] {
            [] => like.zeros_like()?,
            [one] => one.force_contiguous()?.reshape(like.shape())?,
            several => Tensor::cat(several, 0)?.reshape(like.shape())?,
        };
        self.tensors.push(tensor);
        Ok(())
    }

    /// Returns all tensors; those after the last number are empty.
    fn finish(mut self) -> candle_core::Result<Vec<Tensor>> {
        while let Some(like) = self.like.get(self.tensors.len()) {
            self.complete(like)?;
        }
        Ok(self.tensors)
    }
}

/// Gives the values of each variable, as its owner has them, to all processes: as [`super::shards::share`] does. Not many more
/// than `at_once` numbers are exchanged at a time.
pub(super) fn share_values(
    link: &dyn DeviceLink,
    [rank, world]: [usize; 2],
    variables: &[Var],
    owners: &[usize],
    at_once: usize,
) -> Result<(), CommunicatorError> {
    let mut owned: Vec<(&Var, usize)> = variables.iter().zip(owners.iter().copied()).collect();
    owned.sort_by_key(|(variable, _)| variable.dtype().size_in_bytes());
    while let Some((first, _)) = owned.first() {
        let (dtype, mut numbers) = (first.dtype(), 0);
        let fits = |(variable, _): &&(&Var, usize)| {
            let is_first = numbers == 0;
            numbers += variable.elem_count();
            variable.dtype() == dtype && (is_first || numbers <= at_once)
        };
        let count = owned.iter().take_while(fits).count();
        let together: Vec<(&Var, usize)> = owned.drain(..count).collect();
        let own = together.iter().filter(|(variable, owner)| *owner == rank && variable.elem_count() > 0);
        let own = own.map(|(variable, _)| variable.as_detached_tensor().flatten_all()?.contiguous());
        let own = joined(&own.collect::<candle_core::Result<Vec<_>>>()?)?;
        let mut sizes = vec![0; world];
        together.iter().for_each(|(variable, owner)| sizes[*owner] += variable.elem_count());
        let Some(all) = link.exchange(&vec![own; world], &sizes, dtype)? else { continue };
        let mut places = super::shards::starts(&sizes);
        for (variable, owner) in together {
            let count = variable.elem_count();
            if owner != rank && count > 0 {
                variable.set(&all.narrow(0, places[owner], count)?.reshape(variable.shape())?)?;
            }
            places[owner] += count;
        }
    }
    Ok(())
}

/// Returns vectors one after the other; `None` if there are none.
fn joined(vectors: &[Tensor]) -> candle_core::Result<Option<Tensor>> {
    match vectors {
        [] => Ok(None),
        several => Tensor::cat(several, 0).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use candle_core::Device;

    use super::*;
    use crate::distributed::link::in_memory::linked;

    /// Tensors of several shapes, of which one is empty; with numbers whose sum depends on the order.
    fn tensors(micro_batch: usize, dtype: DType) -> Vec<Tensor> {
        let tensor = |shape: &[usize], seed: usize| {
            let count: usize = shape.iter().product();
            let number = |i: usize| ((i * 37 + seed * 101 + micro_batch * 59) % 997) as f64 / 7.0 - 60.0;
            let numbers: Vec<f64> = (0..count).map(number).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
        };
        vec![tensor(&[3, 4], 1), tensor(&[0], 2), tensor(&[5], 3), tensor(&[1], 4), tensor(&[2, 3, 2], 5)]
    }

    fn plus(left: Vec<Tensor>, right: Vec<Tensor>) -> candle_core::Result<Vec<Tensor>> {
        left.iter().zip(&right).map(|(left, right)| left + right).collect()
    }

    /// The sums of the nodes of some micro-batches.
    fn own(share: Range<usize>, count: usize, dtype: DType) -> Vec<Vec<Tensor>> {
        let (mut sums, end) = (Sums::new(), share.end);
        for number in share {
            sums.push(Node::leaf(number), tensors(number, dtype), plus).unwrap();
        }
        if end == count {
            sums.close(plus).unwrap();
        }
        sums.into_sums()
    }

    fn bits(tensors: &[Tensor]) -> Vec<u64> {
        let of =
            |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        tensors.iter().flat_map(of).map(f64::to_bits).collect()
    }

    /// Also with more processes than micro-batches, and with fewer numbers in an exchange than processes.
    #[test]
    fn any_number_of_processes_has_the_bits_of_one() {
        for dtype in [DType::F32, DType::F64] {
            for (count, world, at_once) in [(1, 2, 7), (4, 2, 100), (7, 2, 8), (7, 3, 1), (5, 4, 13), (2, 4, 3)] {
                let alone = own(0..count, count, dtype).remove(0);
                let found: Vec<Vec<Tensor>> = thread::scope(|scope| {
                    let ranks: Vec<_> = linked(world)
                        .into_iter()
                        .enumerate()
                        .map(|(rank, link)| {
                            scope.spawn(move || {
                                let own = own(share(count, rank, world), count, dtype);
                                let like = tensors(0, dtype);
                                let like: Vec<&Tensor> = like.iter().collect();
                                OnDevice::new(&link, [rank, world], count, dtype).sum(&own, &like, at_once).unwrap()
                            })
                        })
                        .collect();
                    ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
                });
                for sums in found {
                    assert_eq!(bits(&sums), bits(&alone), "{count} in {world} by {at_once}");
                    assert!(sums.iter().zip(&alone).all(|(sum, alone)| sum.dims() == alone.dims()));
                }
            }
        }
    }
}
