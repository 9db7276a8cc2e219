//! Orthonormal bases of symmetric matrices, on the CPU and in f64: the eigenvectors of one, and the basis of the
//! columns of a matrix. Each is the same for any number of threads.

mod conquer;
mod join;
mod orthonormal;
mod reflections;
mod rotations;
mod secular;
mod tridiagonal;
mod vectors;

use self::conquer::diagonalize;
pub(super) use self::orthonormal::orthonormalize;
use self::reflections::{Order, TASK, blocks};
use self::tridiagonal::tridiagonal;
pub(super) use self::vectors::Vectors;
use crate::cpu::for_chunks;

/// Returns the eigenvalues of a symmetric matrix, the largest first, and their vectors.
pub(super) fn eigen(matrix: Vectors) -> (Vec<f64>, Vectors) {
    let reduced = tridiagonal(matrix);
    let (values, vectors) = diagonalize(reduced.diagonal, &reduced.beside);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let sorted = order.iter().map(|&place| values[place]).collect();
    (sorted, reflected(&vectors, &order, &reduced.along))
}

/// Returns vectors in this order, reflected along each of these, the last one first.
fn reflected(vectors: &Vectors, order: &[usize], along: &Vectors) -> Vectors {
    let length = vectors.length;
    let mut reflected = vec![0.0; vectors.numbers.len()];
    let effort = reflected.len().saturating_mul(length);
    let blocks = blocks(along, 1, Order::LastToFirst);
    for_chunks(&mut reflected, TASK * length, effort, |task, reflected| {
        for (target, &place) in reflected.chunks_exact_mut(length).zip(&order[task * TASK..]) {
            target.copy_from_slice(vectors.at(place));
        }
        blocks.iter().rev().for_each(|block| block.reflect(reflected, length));
    });
    Vectors { length, numbers: reflected }
}

/// Returns the eigenvectors of a symmetric matrix, that of the largest eigenvalue first.
pub(super) fn eigenvectors(matrix: Vectors) -> Vectors {
    eigen(matrix).1
}

/// Returns about how many operations the eigenvectors of a matrix with this side take.
pub(super) fn eigen_operations(side: u64) -> u64 {
    // The reduction 4/3, the products that join halves at most as many, and the reflections 2.
    cubed(side).saturating_mul(5)
}

/// Returns the operations of a product of `rows × inner` and `inner × columns` numbers.
pub(super) fn product_operations(sides: [u64; 3]) -> u64 {
    sides.into_iter().fold(2, u64::saturating_mul)
}

/// Returns about how many operations a basis of as many vectors takes.
pub(super) fn orthonormal_operations(side: u64) -> u64 {
    // The triangle and the basis, 4/3 each.
    cubed(side).saturating_mul(3)
}

fn cubed(side: u64) -> u64 {
    side.saturating_mul(side).saturating_mul(side)
}

#[cfg(test)]
mod tests {
    use super::vectors::dot;
    use super::*;
    use crate::cpu::workers::with_threads;
    use crate::rng::Stream;

    fn vectors(length: usize, of: impl Fn(usize, usize) -> f64) -> Vectors {
        Vectors { length, numbers: (0..length * length).map(|place| of(place / length, place % length)).collect() }
    }

    fn symmetric(n: usize) -> Vectors {
        vectors(n, |i, j| ((i * 7 + j * 7 + i * j * 3) % 11) as f64 - 4.0)
    }

    fn random(n: usize) -> Vectors {
        let numbers = Stream::new(0, "vectors").normal(0, n * n);
        Vectors { length: n, numbers: numbers.into_iter().map(f64::from).collect() }
    }

    /// The product of random numbers with their transpose, over some of them.
    fn product(n: usize, rank: usize) -> Vectors {
        let numbers = random(n);
        vectors(n, |i, j| dot(&numbers.at(i)[..rank], &numbers.at(j)[..rank]))
    }

    fn assert_orthonormal(vectors: &Vectors) {
        for (i, a) in vectors.iter().enumerate() {
            for (j, b) in vectors.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(a, b) - expected).abs() < 1e-13, "{i} {j}: {}", dot(a, b));
            }
        }
    }

    /// To rounding, which is relative to the largest value.
    fn assert_eigen(matrix: &Vectors) {
        let n = matrix.length;
        let (values, vectors) = eigen(matrix.clone());
        assert_orthonormal(&vectors);
        assert!(values.len() == n && values.is_sorted_by(|a, b| a >= b), "{values:?}");
        let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        for (value, vector) in values.iter().zip(vectors.iter()) {
            for (row, x) in matrix.iter().zip(vector) {
                let apart = (dot(row, vector) - value * x).abs();
                assert!(apart <= 1e-14 * largest, "{n}: {apart} of {largest}");
            }
        }
    }

    #[test]
    fn each_eigenvector_is_only_stretched_and_the_largest_stretch_is_first() {
        for n in [0, 1, 2, 3, 5, 17, 33, 70, 150] {
            assert_eigen(&symmetric(n));
        }
    }

    /// As the products of gradients are: of a few directions, and of large ones beside small ones.
    #[test]
    fn eigenvectors_of_products_of_low_rank_and_of_any_scale() {
        for (n, rank) in [(64, 1), (100, 7), (150, 149), (150, 150)] {
            let mut matrix = product(n, rank);
            matrix.numbers.iter_mut().step_by(n + 1).for_each(|x| *x += 1e-6);
            assert_eigen(&matrix);
            matrix.numbers.iter_mut().for_each(|x| *x *= 1e-60);
            assert_eigen(&matrix);
        }
    }

    /// Eigenvalues in pairs that are equal but for rounding, all equal, and equal in clusters.
    #[test]
    fn eigenvectors_of_close_eigenvalues_are_orthonormal() {
        let beside = |i: usize, j: usize| i.abs_diff(j) == 1;
        assert_eigen(&vectors(101, |i, j| if i == j { i.abs_diff(50) as f64 } else { f64::from(beside(i, j)) }));
        assert_eigen(&vectors(70, |i, j| if i == j { 2.0 } else { 0.0 }));
        assert_eigen(&vectors(70, |_, _| 0.0));
        assert_eigen(&vectors(90, |i, j| if i == j { (i % 3) as f64 } else { 1e-9 * f64::from(beside(i, j)) }));
    }

    #[test]
    fn what_is_not_finite_ends() {
        for number in [f64::NAN, f64::INFINITY] {
            let mut matrix = symmetric(70);
            matrix.numbers[3 * 70 + 5] = number;
            matrix.numbers[5 * 70 + 3] = number;
            assert!(eigen(matrix.clone()).1.numbers.iter().any(|x| !x.is_finite()));
            assert!(orthonormalize(matrix).numbers.iter().any(|x| !x.is_finite()));
        }
    }

    #[test]
    fn a_basis_is_made_also_of_vectors_that_depend_on_each_other() {
        assert_orthonormal(&orthonormalize(symmetric(6)));
        assert_orthonormal(&orthonormalize(vectors(4, |_, _| 0.0)));
        let twice = Vectors { length: 3, numbers: vec![1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 1.0, 1.0] };
        let made = orthonormalize(twice);
        assert_orthonormal(&made);
        assert!((made.at(0)[1] - 2.0 / 5f64.sqrt()).abs() < 1e-15);
        assert!(orthonormalize(Vectors { length: 0, numbers: Vec::new() }).numbers.is_empty());
    }

    /// More vectors than a block has, of which some depend on others, and very large ones.
    #[test]
    fn a_basis_is_made_of_many_vectors_each_from_those_before() {
        let mut vectors = random(150);
        let first = vectors.clone();
        vectors.numbers.copy_within(140 * 150..141 * 150, 3 * 150);
        let sum: Vec<f64> = first.at(0).iter().zip(first.at(1)).map(|(a, b)| a + b).collect();
        vectors.numbers[149 * 150..].copy_from_slice(&sum);
        vectors.numbers[100 * 150..101 * 150].iter_mut().for_each(|x| *x *= 1e30);
        let basis = orthonormalize(vectors.clone());
        assert_orthonormal(&basis);
        for (place, vector) in vectors.iter().enumerate() {
            let size = dot(vector, vector).sqrt();
            assert!(basis.iter().skip(place + 1).all(|later| dot(later, vector).abs() < 1e-13 * size), "{place}");
            assert!(dot(basis.at(place), vector) > -1e-13 * size, "{place}");
        }
    }

    /// Sides that are large enough for several threads.
    #[test]
    fn bases_are_the_same_for_any_number_of_threads() {
        let matrix = product(200, 200);
        let bases = |threads| with_threads(threads, || (eigen(matrix.clone()), orthonormalize(random(200))));
        let alone = bases(1);
        assert_orthonormal(&alone.0.1);
        for threads in [2, 3, 7] {
            assert!(bases(threads) == alone, "{threads} threads");
        }
    }
}
