//! The sum of nodes of the tree in memory that all processes of a run see, because they are on one host.
//!
//! A process writes what the others add, adds its part of the numbers where the others have written theirs, and reads the
//! sums where those have made them. So a number is copied twice, and not through a library's own memory as well.

use std::convert::Infallible;
use std::ops::Range;

use super::line::Line;
use super::tree::{Node, Sums};
use super::{CommunicatorError, share};
use crate::cpu::Real;

/// How many numbers are added at a time. The memory for them stays in the cache of a core.
const BLOCK: usize = 1 << 12;

/// The rooms of all processes, in the order of their numbers.
pub type Rooms<'a> = [&'a [u8]];

/// Whether an exchange in shared memory, or a part of it, was made.
pub type Exchanged = Result<(), CommunicatorError>;

/// Memory that all processes of a run see. Each writes to two rooms, a first and a second one, which only it writes to.
pub trait SharedMemory {
    /// Returns how many bytes the first and the second room of each process have.
    fn rooms(&self) -> [usize; 2];

    /// Calls `give` with the first room of this process, to be written; then `add` with the first rooms of all processes,
    /// in the order of their numbers, and the second room of this one, to be written; then `take` with the second rooms
    /// of all. Before `add` and before `take` the processes wait for each other, so each of them calls this. A room
    /// begins at a multiple of 8 bytes, and has any values.
    ///
    /// # Errors
    /// That of `give`, `add` or `take`; another process cannot be reached, or the wait was given up.
    fn exchange(
        &self,
        give: &mut dyn FnMut(&mut [u8]) -> Exchanged,
        add: &mut dyn FnMut(&Rooms<'_>, &mut [u8]) -> Exchanged,
        take: &mut dyn FnMut(&Rooms<'_>) -> Exchanged,
    ) -> Exchanged;
}

/// Calls `take` with the sum of the `len` numbers of all nodes of all processes, piece after piece. `own` are the nodes
/// of this process, number `rank`; `nodes` says which those of each are. Process `r` adds part `r` of each piece.
pub(super) fn sum<T: Real>(
    memory: &dyn SharedMemory,
    rank: usize,
    nodes: &[Vec<Node>],
    own: &[Line<'_, T>],
    len: usize,
    mut take: impl FnMut(&[T]) -> candle_core::Result<()>,
) -> Result<(), CommunicatorError> {
    let world = nodes.len();
    let [first, second] = memory.rooms().map(|bytes| bytes / size_of::<T>());
    let most = nodes.iter().map(Vec::len).max().unwrap_or(0);
    let at_once = (first / most.max(1)).min(second * world);
    if at_once == 0 {
        return Err(format!("the memory that the processes share is too small for {most} sums of each").into());
    }
    for start in (0..len).step_by(at_once) {
        let piece = Piece::new(start..(start + at_once).min(len), rank, nodes, own);
        memory.exchange(
            &mut |room| piece.give(numbers_mut(room)),
            &mut |rooms, room| piece.add(&of_each(rooms), numbers_mut(room)),
            &mut |rooms| {
                let sums = of_each(rooms).into_iter().zip(&piece.parts);
                sums.map(|(sums, part)| &sums[..part.len()]).try_for_each(|sums| Ok(take(sums)?))
            },
        )?;
    }
    Ok(())
}

/// Some places of the line of numbers that is added.
struct Piece<'a, 'l, T: Real> {
    places: Range<usize>,
    /// The places that each process adds.
    parts: Vec<Range<usize>>,
    rank: usize,
    nodes: &'a [Vec<Node>],
    own: &'a [Line<'l, T>],
}

impl<'a, 'l, T: Real> Piece<'a, 'l, T> {
    fn new(places: Range<usize>, rank: usize, nodes: &'a [Vec<Node>], own: &'a [Line<'l, T>]) -> Self {
        let part = |rank| {
            let part = share(places.len(), rank, nodes.len());
            places.start + part.start..places.start + part.end
        };
        Self { parts: (0..nodes.len()).map(part).collect(), places, rank, nodes, own }
    }

    /// Returns where the numbers at `places` of a process's node `node` are in its first room.
    fn room_of(&self, node: usize, places: &Range<usize>) -> Range<usize> {
        let start = node * self.places.len() + places.start - self.places.start;
        start..start + places.len()
    }

    /// Writes what other processes add.
    fn give(&self, room: &mut [T]) -> Exchanged {
        for (node, line) in self.own.iter().enumerate() {
            for (_, part) in self.parts.iter().enumerate().filter(|(rank, _)| *rank != self.rank) {
                line.copy(part.clone(), &mut room[self.room_of(node, part)])?;
            }
        }
        Ok(())
    }

    /// Writes the sums of the part of this process; `rooms` are what each process gives.
    fn add(&self, rooms: &[&[T]], sums: &mut [T]) -> Exchanged {
        let (part, mut spare) = (&self.parts[self.rank], Vec::new());
        for start in part.clone().step_by(BLOCK) {
            let places = start..(start + BLOCK).min(part.end);
            let to = &mut sums[places.start - part.start..places.end - part.start];
            let found = self.sum(rooms, places, &mut spare)?;
            to.copy_from_slice(found.numbers());
            found.leave(&mut spare);
        }
        Ok(())
    }

    /// Returns the sum over all nodes at some places of the part of this process.
    fn sum<'r>(
        &self,
        rooms: &[&'r [T]],
        places: Range<usize>,
        spare: &mut Vec<Vec<T>>,
    ) -> Result<Part<'r, T>, CommunicatorError> {
        let mut sums = Sums::new();
        for (rank, nodes) in self.nodes.iter().enumerate() {
            for (number, node) in nodes.iter().enumerate() {
                let part = match self.own.get(number) {
                    Some(line) if rank == self.rank => {
                        let mut copied = spare.pop().unwrap_or_default();
                        copied.resize(places.len(), T::zero());
                        line.copy(places.clone(), &mut copied)?;
                        Part::Own(copied)
                    }
                    _ => Part::Lent(&rooms[rank][self.room_of(number, &places)]),
                };
                let Ok(()) = sums.push(*node, part, |left, right| left.plus(right, spare));
            }
        }
        let Ok(()) = sums.close(|left: Part<'r, T>, right| left.plus(right, spare));
        Ok(sums.into_sums().pop().ok_or("a batch without micro-batches has no gradients")?)
    }
}

/// Numbers of a node: in a room, or in memory that can be changed.
enum Part<'a, T> {
    Lent(&'a [T]),
    Own(Vec<T>),
}

impl<'a, T: Real> Part<'a, T> {
    fn numbers(&self) -> &[T] {
        match self {
            Self::Lent(numbers) => numbers,
            Self::Own(numbers) => numbers,
        }
    }

    /// Returns the sum. Memory that is free then is left to `spare`.
    fn plus(self, right: Self, spare: &mut Vec<Vec<T>>) -> Result<Self, Infallible> {
        let (mut sum, right) = match (self, right) {
            (Self::Own(left), right) => (left, right),
            (Self::Lent(left), Self::Own(mut right)) => {
                right.iter_mut().zip(left).for_each(|(right, left)| *right = *left + *right);
                return Ok(Self::Own(right));
            }
            (Self::Lent(left), right) => {
                let mut sum = spare.pop().unwrap_or_default();
                sum.clear();
                sum.extend_from_slice(left);
                (sum, right)
            }
        };
        sum.iter_mut().zip(right.numbers()).for_each(|(sum, right)| *sum += *right);
        right.leave(spare);
        Ok(Self::Own(sum))
    }

    fn leave(self, spare: &mut Vec<Vec<T>>) {
        if let Self::Own(numbers) = self {
            spare.push(numbers);
        }
    }
}

/// Returns as many numbers as a room has.
pub(super) fn numbers_mut<T: Real>(room: &mut [u8]) -> &mut [T] {
    let whole = room.len() - room.len() % size_of::<T>();
    bytemuck::cast_slice_mut(&mut room[..whole])
}

/// Returns as many numbers as each of the rooms has.
pub(super) fn of_each<'a, T: Real>(rooms: &Rooms<'a>) -> Vec<&'a [T]> {
    rooms.iter().map(|room| bytemuck::cast_slice(&room[..room.len() - room.len() % size_of::<T>()])).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};
    use std::thread;

    use candle_core::{Device, Tensor};

    use super::super::tree::nodes_of;
    use super::*;

    /// The rooms of processes that are threads.
    struct Memory {
        sizes: [usize; 2],
        rooms: Vec<[Mutex<Vec<u64>>; 2]>,
        barrier: Barrier,
    }

    impl Memory {
        fn new(world: usize, sizes: [usize; 2]) -> Self {
            let rooms = || sizes.map(|bytes| Mutex::new(vec![u64::MAX; bytes.div_ceil(8)]));
            Self { sizes, rooms: (0..world).map(|_| rooms()).collect(), barrier: Barrier::new(world) }
        }

        fn all(&self, room: usize) -> Vec<Vec<u64>> {
            self.barrier.wait();
            self.rooms.iter().map(|rooms| rooms[room].lock().unwrap().clone()).collect()
        }
    }

    struct Process<'a>(usize, &'a Memory);

    impl SharedMemory for Process<'_> {
        fn rooms(&self) -> [usize; 2] {
            self.1.sizes
        }

        fn exchange(
            &self,
            give: &mut dyn FnMut(&mut [u8]) -> Exchanged,
            add: &mut dyn FnMut(&Rooms<'_>, &mut [u8]) -> Exchanged,
            take: &mut dyn FnMut(&Rooms<'_>) -> Exchanged,
        ) -> Exchanged {
            let Self(rank, Memory { sizes, rooms, .. }) = self;
            let own = |room: usize| rooms[*rank][room].lock().unwrap();
            let bytes = |all: &[Vec<u64>], room: usize| -> Vec<Vec<u8>> {
                all.iter().map(|words| bytemuck::cast_slice::<u64, u8>(words)[..sizes[room]].to_vec()).collect()
            };
            give(&mut bytemuck::cast_slice_mut::<u64, u8>(&mut own(0))[..sizes[0]])?;
            let first = bytes(&self.1.all(0), 0);
            let first: Vec<&[u8]> = first.iter().map(Vec::as_slice).collect();
            add(&first, &mut bytemuck::cast_slice_mut::<u64, u8>(&mut own(1))[..sizes[1]])?;
            let second = bytes(&self.1.all(1), 1);
            take(&second.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
    }

    /// Numbers whose sum depends on the order.
    fn micro_batch(number: usize) -> Vec<Tensor> {
        let of = |len: usize| {
            let value =
                |at: usize| ((at * 7 + number * 13) % 31) as f32 * 10f32.powi((at + number) as i32 % 9 - 4) + 0.1;
            Tensor::from_vec((0..len).map(value).collect(), len, &Device::Cpu).unwrap()
        };
        vec![of(5), of(0), of(6000)]
    }

    fn plus(left: Vec<Tensor>, right: Vec<Tensor>) -> Result<Vec<Tensor>, candle_core::Error> {
        left.iter().zip(&right).map(|(left, right)| left + right).collect()
    }

    /// The nodes of a process with their sums.
    fn nodes(own: Range<usize>, count: usize) -> Vec<Vec<Tensor>> {
        let (mut sums, end) = (Sums::new(), own.end);
        own.for_each(|number| sums.push(Node::leaf(number), micro_batch(number), plus).unwrap());
        if end == count {
            sums.close(plus).unwrap();
        }
        sums.into_sums()
    }

    fn bits(tensors: &[Tensor]) -> Vec<u32> {
        let numbers = tensors.iter().flat_map(|tensor| tensor.to_vec1::<f32>().unwrap());
        numbers.map(f32::to_bits).collect()
    }

    /// Also where a process has several sums or none, and where the rooms are for a few numbers at a time.
    #[test]
    fn sums_have_the_bits_of_one_process() {
        for (world, count) in [(2, 2), (2, 7), (3, 5), (3, 2), (4, 13)] {
            let alone = bits(&nodes(0..count, count)[0]);
            for sizes in [[100_000, 50_000], [2000, 900], [20_000, 60]] {
                let rooms = Memory::new(world, sizes);
                let of_each: Vec<Vec<Node>> = (0..world).map(|r| nodes_of(share(count, r, world), count)).collect();
                let sums: Vec<Vec<f32>> = thread::scope(|scope| {
                    let process = |rank: usize| {
                        let (rooms, of_each) = (&rooms, &of_each);
                        scope.spawn(move || {
                            let own = nodes(share(count, rank, world), count);
                            let own: Vec<Line<'_, f32>> = own.iter().map(|node| Line::of(node).unwrap()).collect();
                            let mut found = Vec::new();
                            let take = |numbers: &[f32]| {
                                found.extend_from_slice(numbers);
                                Ok(())
                            };
                            sum(&Process(rank, rooms), rank, of_each, &own, 6005, take).unwrap();
                            found
                        })
                    };
                    let running: Vec<_> = (0..world).map(process).collect();
                    running.into_iter().map(|process| process.join().unwrap()).collect()
                });
                for sum in sums {
                    let sum: Vec<u32> = sum.into_iter().map(f32::to_bits).collect();
                    assert!(sum == alone, "{count} micro-batches in {world} processes, rooms of {sizes:?} bytes");
                }
            }
        }
    }

    #[test]
    fn rooms_for_no_number_are_an_error() {
        let (rooms, own) = (Memory::new(1, [4, 4]), nodes(0..1, 2));
        let line = Line::<f32>::of(&own[0]).unwrap();
        let of_each = [vec![Node::leaf(0), Node::leaf(1)]];
        let told = sum(&Process(0, &rooms), 0, &of_each, &[line], 6005, |_| Ok(())).unwrap_err().to_string();
        assert_eq!(told, "the memory that the processes share is too small for 2 sums of each");
    }
}
