//! Tensors that are shared among the processes of a run: each owns some of them.

use candle_core::{DType, Device, Shape, Tensor, Var};

use super::line::{Line, Made};
use super::shared_memory::{SharedMemory, numbers_mut, of_each};
use super::{AT_ONCE, Communicator, CommunicatorError, Message, link_of, on_device};
use crate::cpu::Real;

/// Returns the process that owns each tensor, for tensors with these numbers of elements: the largest first, each to the
/// process that has the fewest elements so far.
pub(crate) fn owners(sizes: &[usize], world: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&tensor| std::cmp::Reverse(sizes[tensor]));
    let (mut owners, mut loads) = (vec![0; sizes.len()], vec![0usize; world.max(1)]);
    for tensor in order {
        let least = (0..loads.len()).min_by_key(|&rank| loads[rank]).unwrap_or(0);
        owners[tensor] = least;
        loads[least] += sizes[tensor];
    }
    owners
}

/// Gives the values of each variable, as its owner has them, to all processes.
pub(crate) fn share(
    communicator: &dyn Communicator,
    variables: &[Var],
    owners: &[usize],
) -> Result<(), CommunicatorError> {
    if let Some(link) = link_of(communicator, variables.iter().map(Var::as_tensor)) {
        return on_device::share_values(link, [communicator.rank(), communicator.world()], variables, owners, AT_ONCE);
    }
    let (rank, world) = (communicator.rank(), communicator.world());
    let has_only = |dtype| variables.iter().all(|variable| variable.dtype() == dtype);
    match communicator.memory() {
        Some(memory) if has_only(DType::F32) => return Owned::new(rank, world, variables, owners).share::<f32>(memory),
        Some(memory) if has_only(DType::F64) => return Owned::new(rank, world, variables, owners).share::<f64>(memory),
        _ => {}
    }
    let own = variables.iter().zip(owners).filter(|(_, owner)| **owner == rank);
    let own = message(own.map(|(variable, _)| variable.as_tensor()))?;
    let sizes = sizes(world, variables.iter().map(|variable| variable.as_tensor()).zip(owners));
    let all = communicator.all_gather(own, &sizes)?;
    let mut places = starts(&sizes);
    for (variable, &owner) in variables.iter().zip(owners) {
        let values = &all.bytes()[places[owner]..];
        if owner != rank {
            variable.set(&tensor(values, variable.as_tensor())?)?;
        }
        places[owner] += bytes_of(variable.as_tensor());
    }
    Ok(())
}

/// The variables of each process.
struct Owned<'a> {
    rank: usize,
    variables: Vec<Vec<&'a Var>>,
}

impl<'a> Owned<'a> {
    fn new(rank: usize, world: usize, variables: &'a [Var], owners: &[usize]) -> Self {
        let mut owned = vec![Vec::new(); world];
        variables.iter().zip(owners).for_each(|(variable, &owner)| owned[owner].push(variable));
        Self { rank, variables: owned }
    }

    /// Gives the values of each variable to all processes, in the memory that they share.
    fn share<T: Real>(&self, memory: &dyn SharedMemory) -> Result<(), CommunicatorError> {
        let tensors = |of: &Vec<&'a Var>| of.iter().map(|variable| variable.as_tensor()).collect::<Vec<&Tensor>>();
        let tensors: Vec<Vec<&Tensor>> = self.variables.iter().map(tensors).collect();
        let lens: Vec<usize> = tensors.iter().map(|of| of.iter().map(|tensor| tensor.elem_count()).sum()).collect();
        let own: Vec<Tensor> = tensors[self.rank].iter().map(|&tensor| tensor.clone()).collect();
        let line = Line::<T>::of(&own)?;
        let mut made: Vec<Made<'_, T>> = tensors.iter().map(|like| Made::new(like)).collect();
        let at_once = memory.rooms()[1] / size_of::<T>();
        if at_once == 0 {
            return Err("the memory that the processes share is too small for a weight".into());
        }
        for start in (0..lens.iter().copied().max().unwrap_or(0)).step_by(at_once) {
            let places = |rank: usize| start.min(lens[rank])..(start + at_once).min(lens[rank]);
            memory.exchange(
                &mut |_| Ok(()),
                &mut |_, room| {
                    let own = places(self.rank);
                    Ok(line.copy(own.clone(), &mut numbers_mut(room)[..own.len()])?)
                },
                &mut |rooms| {
                    let others = of_each(rooms).into_iter().zip(&mut made).enumerate();
                    let mut others = others.filter(|(rank, _)| *rank != self.rank);
                    others.try_for_each(|(rank, (room, made))| Ok(made.take(&room[..places(rank).len()])?))
                },
            )?;
        }
        let others = self.variables.iter().zip(made).enumerate().filter(|(rank, _)| *rank != self.rank);
        for (_, (variables, made)) in others {
            variables.iter().zip(made.finish()?).try_for_each(|(variable, values)| variable.set(&values))?;
        }
        Ok(())
    }
}

/// The form of a tensor, and the process that owns it.
pub(crate) struct Form {
    pub shape: Shape,
    pub dtype: DType,
    pub device: Device,
    pub owner: usize,
}

impl Form {
    fn bytes(&self) -> usize {
        self.shape.elem_count() * self.dtype.size_in_bytes()
    }
}

/// Sends `own` of each process to the first one. `sizes` are the process and the bytes of each tensor, in the order in which
/// the first one returns them; the others return none.
pub(crate) fn lend(
    communicator: &dyn Communicator,
    own: &[Tensor],
    sizes: &[(usize, usize)],
) -> Result<Vec<Vec<u8>>, CommunicatorError> {
    let (received, from) = to_first(communicator, message(own.iter())?, sizes.iter().copied())?;
    let mut places = starts(&from);
    let bytes = sizes.iter().map(|&(rank, size)| {
        let bytes = received.bytes().get(places[rank]..places[rank] + size)?.to_vec();
        places[rank] += size;
        Some(bytes)
    });
    // In the other processes nothing has come.
    Ok(bytes.map_while(|bytes| bytes).collect())
}

/// Sends `own` to the first process. Returns what comes there, in the order of the processes, and the bytes of each.
fn to_first(
    communicator: &dyn Communicator,
    own: Message,
    sizes: impl Iterator<Item = (usize, usize)>,
) -> Result<(Message, Vec<usize>), CommunicatorError> {
    let world = communicator.world();
    let (mut from, mut to) = (vec![0; world], vec![0; world]);
    sizes.for_each(|(rank, bytes)| from[rank] += bytes);
    to[0] = own.bytes().len();
    let received_sizes = if communicator.rank() == 0 { from } else { vec![0; world] };
    Ok((communicator.all_to_all(own, &to, &received_sizes)?, received_sizes))
}

/// Sends the tensors that a process owns to the first process. `like` are all tensors, in the same order in each process;
/// `own` those of this one. Returns all of them in the first process, and none in others.
pub(crate) fn collect(
    communicator: &dyn Communicator,
    own: &[Var],
    like: &[Form],
) -> Result<Vec<Tensor>, CommunicatorError> {
    let own = message(own.iter().map(|variable| variable.as_tensor()))?;
    let (all, received_sizes) = to_first(communicator, own, like.iter().map(|form| (form.owner, form.bytes())))?;
    if communicator.rank() != 0 {
        return Ok(Vec::new());
    }
    let mut places = starts(&received_sizes);
    let tensors = like.iter().map(|form| {
        let values = &all.bytes()[places[form.owner]..][..form.bytes()];
        places[form.owner] += form.bytes();
        Tensor::from_raw_buffer(values, form.dtype, form.shape.dims(), &Device::Cpu)?.to_device(&form.device)
    });
    Ok(tensors.collect::<candle_core::Result<_>>()?)
}

fn bytes_of(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

fn sizes<'a>(world: usize, owned: impl Iterator<Item = (&'a Tensor, &'a usize)>) -> Vec<usize> {
    let mut sizes = vec![0; world];
    owned.for_each(|(tensor, &owner)| sizes[owner] += bytes_of(tensor));
    sizes
}

pub(super) fn starts(sizes: &[usize]) -> Vec<usize> {
    let mut end = 0;
    let start = |size: &usize| {
        end += size;
        end - size
    };
    sizes.iter().map(start).collect()
}

fn tensor(values: &[u8], like: &Tensor) -> candle_core::Result<Tensor> {
    let values = &values[..bytes_of(like)];
    Tensor::from_raw_buffer(values, like.dtype(), like.dims(), &Device::Cpu)?.to_device(like.device())
}

fn message<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> candle_core::Result<Message> {
    let mut bytes = Vec::new();
    for tensor in tensors {
        let values = tensor.flatten_all()?.to_device(&Device::Cpu)?;
        match tensor.dtype() {
            DType::F64 => bytes.extend_from_slice(bytemuck::cast_slice(&values.to_vec1::<f64>()?)),
            DType::F32 => bytes.extend_from_slice(bytemuck::cast_slice(&values.to_vec1::<f32>()?)),
            DType::BF16 => bytes.extend_from_slice(bytemuck::cast_slice(&values.to_vec1::<half::bf16>()?)),
            DType::F16 => bytes.extend_from_slice(bytemuck::cast_slice(&values.to_vec1::<half::f16>()?)),
            other => candle_core::bail!("tensors of {other:?} are not shared between processes"),
        }
    }
    Ok(Message::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_about_as_many_numbers() {
        assert_eq!(owners(&[10, 100, 60, 50], 2), [0, 0, 1, 1]);
        assert_eq!(owners(&[5, 5, 5, 5], 4), [0, 1, 2, 3]);
        assert_eq!(owners(&[7], 3), [0]);
        assert!(owners(&[], 2).is_empty());
    }
}
