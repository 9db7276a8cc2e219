//! The order in which the parts of a batch are added: a binary tree over the numbers of its micro-batches.
//!
//! Neighbours are added in pairs, then pairs of pairs, and so on: `((0 + 1) + (2 + 3)) + 4`. A sum over neighbours that
//! is a node of the tree does not depend on who computes it, so processes may share the tree in any way.

use std::convert::Infallible;
use std::ops::Range;

/// A node of the tree: the micro-batches `index << level` up to `(index + 1) << level`, as far as the batch has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    level: u32,
    index: usize,
}

impl Node {
    /// The node of a single micro-batch.
    pub fn leaf(number: usize) -> Self {
        Self { level: 0, index: number }
    }

    fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    /// Whether `right` is the other half of this node's parent.
    fn is_left_of(self, right: Self) -> bool {
        self.level == right.level && self.index.is_multiple_of(2) && self.index + 1 == right.index
    }
}

/// Adjacent nodes with their sums, from left to right, as few as can be.
#[derive(Clone, Debug)]
pub(super) struct Sums<T> {
    nodes: Vec<(Node, T)>,
}

impl<T> Sums<T> {
    pub fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Adds the node to the right of those here.
    pub fn push<E>(&mut self, node: Node, sum: T, mut add: impl FnMut(T, T) -> Result<T, E>) -> Result<(), E> {
        let (mut node, mut sum) = (node, sum);
        while let Some((_, left)) = self.nodes.pop_if(|(left, _)| left.is_left_of(node)) {
            (node, sum) = (node.parent(), add(left, sum)?);
        }
        self.nodes.push((node, sum));
        Ok(())
    }

    /// Says that the batch ends with the last node here: a parent whose right half is beyond the end is its left half.
    pub fn close<E>(&mut self, mut add: impl FnMut(T, T) -> Result<T, E>) -> Result<(), E> {
        while let [.., (left, _), (last, _)] = &mut self.nodes[..]
            && last.level < left.level
        {
            *last = last.parent();
            if let Some((node, sum)) = self.nodes.pop() {
                self.push(node, sum, &mut add)?;
            }
        }
        Ok(())
    }

    /// Returns the nodes from left to right.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.nodes.iter().map(|(node, _)| *node)
    }

    /// Returns the sums of the nodes from left to right. A whole batch, closed, has one.
    pub fn into_sums(self) -> Vec<T> {
        self.nodes.into_iter().map(|(_, sum)| sum).collect()
    }
}

/// Returns the nodes whose sums a process has that computes the micro-batches `own` of a batch of `count`.
pub(super) fn nodes_of(own: Range<usize>, count: usize) -> Vec<Node> {
    let (mut sums, end) = (Sums::new(), own.end);
    let nothing = |(), ()| Ok::<(), Infallible>(());
    let Ok(()) = own.map(Node::leaf).try_for_each(|leaf| sums.push(leaf, (), nothing));
    if end == count {
        let Ok(()) = sums.close(nothing);
    }
    sums.nodes().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(left: String, right: String) -> Result<String, Infallible> {
        Ok(format!("({left}+{right})"))
    }

    fn own(range: Range<usize>, count: usize) -> Sums<String> {
        let (mut sums, end) = (Sums::new(), range.end);
        for number in range {
            sums.push(Node::leaf(number), number.to_string(), add).unwrap();
        }
        if end == count {
            sums.close(add).unwrap();
        }
        sums
    }

    #[test]
    fn neighbours_are_added_in_pairs() {
        let whole = |count| own(0..count, count).into_sums();
        assert_eq!(whole(1), ["0"]);
        assert_eq!(whole(3), ["((0+1)+2)"]);
        assert_eq!(whole(4), ["((0+1)+(2+3))"]);
        assert_eq!(whole(5), ["(((0+1)+(2+3))+4)"]);
        assert_eq!(whole(7), ["(((0+1)+(2+3))+((4+5)+6))"]);
        assert!(whole(0).is_empty());
    }

    /// In every way to cut a batch into three shares, some of them empty.
    #[test]
    fn shares_of_any_size_are_put_together_to_the_same_tree() {
        for count in 1..13 {
            let whole = own(0..count, count).into_sums();
            for (first, second) in (0..=count).flat_map(|first| (first..=count).map(move |second| (first, second))) {
                let mut sums = Sums::new();
                for share in [0..first, first..second, second..count] {
                    let part = own(share.clone(), count);
                    assert_eq!(part.nodes().collect::<Vec<_>>(), nodes_of(share, count));
                    for (node, sum) in part.nodes().collect::<Vec<_>>().into_iter().zip(part.into_sums()) {
                        sums.push(node, sum, add).unwrap();
                    }
                }
                sums.close(add).unwrap();
                assert_eq!(sums.into_sums(), whole, "{count} cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_share_is_few_sums() {
        assert_eq!(nodes_of(0..8, 16).len(), 1);
        assert_eq!(nodes_of(8..16, 16).len(), 1);
        assert_eq!(nodes_of(1000..2000, 3000).len(), 7);
    }
}
