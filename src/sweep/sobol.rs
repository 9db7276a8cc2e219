//! Points of a Sobol sequence, each a function of its number.
//!
//! The direction numbers are those of Joe and Kuo, "Constructing Sobol sequences with better two-dimensional
//! projections" (SIAM J. Sci. Comput. 30, 2008), file `new-joe-kuo-6.21201`, in their order of points. The scramble is
//! that of Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences" (1995): each bit is flipped, or not, by a random
//! bit that belongs to the bits before it. The random bits are read from counters.

use crate::rng::Stream;

/// The number of dimensions of a point.
pub(super) const DIMENSIONS: usize = TABLE.len() + 1;

const BITS: u32 = 32;

/// For each dimension after the first: the coefficients of its primitive polynomial as bits, and the first of its
/// numbers m, as many as the degree of the polynomial.
const TABLE: [(u32, &[u32]); 20] = [
    (0, &[1]),
    (1, &[1, 3]),
    (1, &[1, 3, 1]),
    (2, &[1, 1, 1]),
    (1, &[1, 1, 3, 3]),
    (4, &[1, 3, 5, 13]),
    (2, &[1, 1, 5, 5, 17]),
    (4, &[1, 1, 5, 5, 5]),
    (7, &[1, 1, 7, 11, 19]),
    (11, &[1, 1, 5, 1, 1]),
    (13, &[1, 1, 1, 3, 11]),
    (14, &[1, 3, 5, 5, 31]),
    (1, &[1, 3, 3, 9, 7, 49]),
    (13, &[1, 1, 1, 15, 21, 21]),
    (16, &[1, 3, 1, 13, 27, 49]),
    (19, &[1, 1, 1, 15, 7, 5]),
    (22, &[1, 3, 1, 15, 13, 25]),
    (25, &[1, 1, 5, 5, 19, 61]),
    (1, &[1, 3, 7, 11, 23, 15, 103]),
    (4, &[1, 3, 7, 13, 13, 15, 69]),
];

/// Returns coordinate `dimension` of point `number`, in `(0, 1)`, scrambled by the random bits of `stream`.
pub(super) fn scrambled(stream: &Stream, number: u32, dimension: usize) -> f64 {
    let plain = coordinate(number, dimension);
    let mut bits = 0;
    for bit in 0..BITS {
        // The bits before this one, with their number, are the place in the tree of bits.
        let before = u64::from(plain) >> (BITS - bit);
        let node = u64::from(bit) << BITS | before;
        let flip = stream.bits(dimension as u64, node) as u32 & 1;
        let own = plain >> (BITS - 1 - bit) & 1;
        bits = bits << 1 | (own ^ flip);
    }
    (f64::from(bits) + 0.5) / 2f64.powi(BITS as i32)
}

/// Returns coordinate `dimension` of point `number`, in units of 2^-32.
fn coordinate(number: u32, dimension: usize) -> u32 {
    let directions = directions(dimension);
    // Joe and Kuo visit the points in the order of the Gray code, in which the first 2^k points are the same.
    let gray = number ^ (number >> 1);
    directions.iter().enumerate().filter(|(bit, _)| gray >> bit & 1 == 1).fold(0, |sum, (_, direction)| sum ^ direction)
}

fn directions(dimension: usize) -> [u32; BITS as usize] {
    let mut directions = std::array::from_fn(|bit| 1 << (BITS as usize - 1 - bit));
    let Some((coefficients, initial)) = dimension.checked_sub(1).and_then(|row| TABLE.get(row)) else {
        return directions;
    };
    let degree = initial.len();
    for bit in 0..directions.len() {
        directions[bit] = match initial.get(bit) {
            Some(m) => m << (BITS as usize - 1 - bit),
            None => {
                let first = directions[bit - degree];
                (1..degree).fold(first ^ (first >> degree), |sum, back| {
                    let has = coefficients >> (degree - 1 - back) & 1 == 1;
                    if has { sum ^ directions[bit - back] } else { sum }
                })
            }
        };
    }
    directions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points that Joe and Kuo's program prints for three dimensions.
    #[test]
    fn the_first_points_are_the_published_ones() {
        let published = [
            [0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5],
            [0.75, 0.25, 0.25],
            [0.25, 0.75, 0.75],
            [0.375, 0.375, 0.625],
            [0.875, 0.875, 0.125],
            [0.625, 0.125, 0.875],
            [0.125, 0.625, 0.375],
            [0.1875, 0.3125, 0.9375],
            [0.6875, 0.8125, 0.4375],
        ];
        for (number, point) in (0..).zip(published) {
            let ours = [0, 1, 2].map(|dimension| f64::from(coordinate(number, dimension)) / 2f64.powi(32));
            assert_eq!(ours, point, "point {number}");
        }
    }

    /// Point 1,000,000 of `torch.quasirandom.SobolEngine(21)` of PyTorch 2.15, whose direction numbers are of the same file.
    #[test]
    fn every_dimension_is_that_of_pytorch() {
        let pytorch = [
            0.026474952697753906,
            0.3119192123413086,
            0.8279962539672852,
            0.6682462692260742,
            0.6286592483520508,
            0.7950620651245117,
            0.9707460403442383,
            0.016793251037597656,
            0.3004159927368164,
            0.25440120697021484,
            0.638331413269043,
            0.9311761856079102,
            0.27321720123291016,
            0.5333433151245117,
            0.6491060256958008,
            0.7160959243774414,
            0.4430112838745117,
            0.25748538970947266,
            0.5928945541381836,
            0.3822927474975586,
            0.040129661560058594,
        ];
        let ours = std::array::from_fn(|dimension| f64::from(coordinate(1_000_000, dimension)) / 2f64.powi(32));
        assert_eq!(ours, pytorch);
    }

    /// In each dimension, of the first 2^k points exactly one is in each of the 2^k equal intervals, scrambled or not.
    #[test]
    fn every_interval_has_its_point_in_each_dimension() {
        let stream = Stream::new(5, "sobol");
        for (dimension, k) in (0..DIMENSIONS).flat_map(|dimension| [1, 4, 7].map(|k| (dimension, k))) {
            let points = 1_u32 << k;
            let place = |share: f64| (share * f64::from(points)) as usize;
            let mut plain: Vec<usize> =
                (0..points).map(|n| place(f64::from(coordinate(n, dimension)) / 2f64.powi(32))).collect();
            let mut mixed: Vec<usize> = (0..points).map(|n| place(scrambled(&stream, n, dimension))).collect();
            plain.sort_unstable();
            mixed.sort_unstable();
            assert!(plain.iter().copied().eq(0..points as usize), "dimension {dimension}: {plain:?}");
            assert!(mixed.iter().copied().eq(0..points as usize), "dimension {dimension}: {mixed:?}");
        }
    }

    #[test]
    fn another_seed_gives_other_points() {
        let [one, other] = [1, 2].map(|seed| scrambled(&Stream::new(seed, "sobol"), 3, 1));
        assert_ne!(one, other);
    }
}
