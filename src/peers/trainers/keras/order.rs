//! The order of layers that no configuration tells: the only one in which their shapes are those of the optimizer's
//! variables.

use std::collections::HashMap;

use super::layers::{Block, Chain};

/// Numbers that the places in all chains may have together, before the search is given up.
const MOST_NUMBERS: usize = 1 << 22;
/// Blocks in all chains together.
const MOST_BLOCKS: usize = 2000;

/// Returns the blocks in their order, or `None` where it cannot be told. `shapes` are those of the weights that the
/// optimizer updates, as its variables have them; `None` where it has none for them.
pub(super) fn solve<'a>(chains: &'a [Chain], shapes: Option<&[Vec<usize>]>) -> Option<Vec<&'a Block>> {
    let shapes = shapes.unwrap_or_default();
    if let [chain] = chains {
        let fits = shapes.is_empty() || chain.iter().flat_map(Block::trained).eq(shapes.iter().map(Vec::as_slice));
        return fits.then(|| chain.iter().collect());
    }
    if shapes.is_empty() {
        return None;
    }
    let mut search = Search { chains, shapes, ways: HashMap::new() };
    let mut at = vec![0; chains.len()];
    if search.ways(&at, 0)? != 1 {
        return None;
    }
    let mut order = Vec::new();
    let mut used = 0;
    // There is one way from every place on the only way.
    while let Some((next, block)) = search.steps(&at, used).into_iter().find(|(next, _)| {
        let mut then = at.clone();
        then[*next] += 1;
        search.ways.get(&then).is_some_and(|ways| *ways > 0)
    }) {
        used += block.trained().count();
        at[next] += 1;
        order.push(block);
    }
    Some(order)
}

struct Search<'a, 's> {
    chains: &'a [Chain],
    shapes: &'s [Vec<usize>],
    /// The number of ways from a place to the end, up to 2.
    ways: HashMap<Vec<usize>, u8>,
}

impl<'a> Search<'a, '_> {
    /// Returns the blocks that may come next, with their chains.
    fn steps(&self, at: &[usize], used: usize) -> Vec<(usize, &'a Block)> {
        let next =
            self.chains.iter().zip(at).enumerate().filter_map(|(index, (chain, at))| Some((index, chain.get(*at)?)));
        let fits = |block: &Block| {
            let mut due = self.shapes.get(used..).unwrap_or_default().iter();
            block.trained().all(|shape| due.next().is_some_and(|due| due == shape))
        };
        next.filter(|(_, block)| fits(block)).collect()
    }

    /// Counts the ways from a place to the end; `None` where there are too many places.
    fn ways(&mut self, at: &[usize], used: usize) -> Option<u8> {
        if let Some(ways) = self.ways.get(at) {
            return Some(*ways);
        }
        if self.ways.len() * at.len() > MOST_NUMBERS || at.iter().sum::<usize>() > MOST_BLOCKS {
            return None;
        }
        let done = self.chains.iter().zip(at).all(|(chain, at)| *at == chain.len());
        let mut ways = u8::from(done && used == self.shapes.len());
        for (index, block) in self.steps(at, used) {
            // Blocks without trained weights may stand anywhere: they come first, so that they are not counted often.
            let mut next = at.to_vec();
            next[index] += 1;
            let trained = block.trained().count();
            ways = (ways + self.ways(&next, used + trained)?).min(2);
            if trained == 0 {
                break;
            }
        }
        self.ways.insert(at.to_vec(), ways);
        Some(ways)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers::Weight;
    use super::*;
    use crate::peers::peer::Named;
    use crate::peers::tensor::Tensor;

    fn block(shapes: &[&[usize]]) -> Block {
        let weight = |shape: &&[usize]| {
            let tensor = Tensor::from_f32(shape, &vec![0.0; shape.iter().product()]).unwrap();
            Weight { named: Named::new("w", tensor), trained: true }
        };
        Block { weights: shapes.iter().map(weight).collect() }
    }

    fn shapes(order: &[&Block]) -> Vec<Vec<usize>> {
        order.iter().flat_map(|block| block.trained().map(<[usize]>::to_vec)).collect()
    }

    #[test]
    fn the_only_order_that_fits_is_found() {
        let chains = vec![vec![block(&[&[3, 4], &[4]]), block(&[&[4, 2], &[2]])], vec![block(&[&[4], &[4]])]];
        let due = [vec![3, 4], vec![4], vec![4], vec![4], vec![4, 2], vec![2]];
        let order = solve(&chains, Some(&due)).unwrap();
        assert_eq!(shapes(&order), due);
        assert!(solve(&chains, Some(&due[..5])).is_none());
        assert!(solve(&chains, None).is_none());
    }

    #[test]
    fn two_orders_that_fit_are_none() {
        let chains = vec![vec![block(&[&[4, 4], &[4]])], vec![block(&[&[4, 4], &[4]])]];
        let due = [vec![4, 4], vec![4], vec![4, 4], vec![4]];
        assert!(solve(&chains, Some(&due)).is_none());
        // The same two in one chain have an order.
        let chain = vec![chains.concat()];
        assert_eq!(solve(&chain, Some(&due)).unwrap().len(), 2);
    }
}
