//! The sum of nodes of the tree by messages between the processes.

use std::convert::Infallible;
use std::ops::Range;

use super::line::Line;
use super::tree::{Node, Sums};
use super::{AT_ONCE, Communicator, CommunicatorError, Message, share};
use crate::cpu::Real;

/// Calls `take` with the sum of the `len` numbers of all nodes of all processes, piece after piece. `own` are the nodes
/// of this process, `nodes` says which those of each are. Process `r` adds part `r` of each piece.
pub(super) fn sum<T: Real>(
    communicator: &dyn Communicator,
    nodes: &[Vec<Node>],
    own: &[Line<'_, T>],
    len: usize,
    mut take: impl FnMut(&[T]) -> candle_core::Result<()>,
) -> Result<(), CommunicatorError> {
    for start in (0..len).step_by(AT_ONCE) {
        let found = exchange(communicator, nodes, own, start..(start + AT_ONCE).min(len))?;
        take(found.numbers::<T>())?;
    }
    Ok(())
}

/// Returns the sum of all nodes of all processes at some places.
fn exchange<T: Real>(
    communicator: &dyn Communicator,
    nodes: &[Vec<Node>],
    own: &[Line<'_, T>],
    places: Range<usize>,
) -> Result<Message, CommunicatorError> {
    let (rank, world) = (communicator.rank(), nodes.len());
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
    let coming: Vec<usize> = nodes.iter().map(|nodes| bytes(width * nodes.len())).collect();
    let mut received = communicator.all_to_all(sent, &sizes, &coming)?;
    add(nodes, received.numbers_mut::<T>(), width);
    received.truncate(bytes(width));
    let sizes: Vec<usize> = parts.iter().map(|part| bytes(part.len())).collect();
    communicator.all_gather(received, &sizes)
}

/// Adds the parts of all nodes, from left to right of `width` numbers each. The first of them then has the sum.
fn add<T: Real>(nodes: &[Vec<Node>], parts: &mut [T], width: usize) {
    if width == 0 {
        return;
    }
    let mut sums: Sums<&mut [T]> = Sums::new();
    fn add<'a, T: Real>(left: &'a mut [T], right: &'a mut [T]) -> Result<&'a mut [T], Infallible> {
        left.iter_mut().zip(&*right).for_each(|(left, right)| *left += *right);
        Ok(left)
    }
    for (node, part) in nodes.iter().flatten().zip(parts.chunks_exact_mut(width)) {
        let Ok(()) = sums.push(*node, part, add);
    }
    let Ok(()) = sums.close(add);
}
