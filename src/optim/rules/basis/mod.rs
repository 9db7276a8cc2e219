//! Orthonormal bases of symmetric matrices, on the CPU and in f64: the eigenvectors of one, and the basis of the columns of
//! a matrix. Each is the same for any number of threads.

mod columns;
mod diagonal;
mod orthonormal;
mod tridiagonal;
mod vectors;

use self::columns::Columns;
use self::diagonal::diagonalize;
pub(super) use self::orthonormal::orthonormalize;
use self::tridiagonal::tridiagonal;
pub(super) use self::vectors::Vectors;

/// Returns the eigenvalues of a symmetric matrix, the largest first, and their vectors.
pub(super) fn eigen(matrix: Vectors) -> (Vec<f64>, Vectors) {
    let mut reduced = tridiagonal(matrix);
    let mut vectors = Columns::axes(reduced.diagonal.len());
    vectors.reflect(&reduced.reflections);
    diagonalize(&mut reduced.diagonal, &mut reduced.beside, &mut vectors);
    let (values, mut vectors) = (reduced.diagonal, vectors.into_vectors());
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let sorted = order.iter().map(|&place| values[place]).collect();
    (sorted, order.into_iter().map(|place| std::mem::take(&mut vectors[place])).collect())
}

/// Returns the eigenvectors of a symmetric matrix, that of the largest eigenvalue first.
pub(super) fn eigenvectors(matrix: Vectors) -> Vectors {
    eigen(matrix).1
}

/// Returns about how many operations the eigenvectors of a matrix with this side take.
pub(super) fn eigen_operations(side: u64) -> u64 {
    // The reduction, the reflections of the basis, and its rotations, of which there are about 0.85 for each number.
    cubed(side).saturating_mul(9)
}

/// Returns the operations of a product of `rows × inner` and `inner × columns` numbers.
pub(super) fn product_operations(sides: [u64; 3]) -> u64 {
    sides.into_iter().fold(2, u64::saturating_mul)
}

/// Returns about how many operations a basis of as many vectors takes.
pub(super) fn orthonormal_operations(side: u64) -> u64 {
    // Each vector leaves those before it twice.
    cubed(side).saturating_mul(4)
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

    fn symmetric(n: usize) -> Vectors {
        let of = |i: usize, j: usize| ((i * 7 + j * 7 + i * j * 3) % 11) as f64 - 4.0;
        (0..n).map(|i| (0..n).map(|j| of(i.min(j), i.max(j))).collect()).collect()
    }

    fn assert_orthonormal(vectors: &Vectors) {
        for (i, a) in vectors.iter().enumerate() {
            for (j, b) in vectors.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(a, b) - expected).abs() < 1e-12, "{i} {j}: {}", dot(a, b));
            }
        }
    }

    #[test]
    fn each_eigenvector_is_only_stretched_and_the_largest_stretch_is_first() {
        for n in [1, 2, 3, 5, 17, 70] {
            let matrix = symmetric(n);
            let vectors = eigenvectors(matrix.clone());
            assert_orthonormal(&vectors);
            let mut before = f64::INFINITY;
            for vector in &vectors {
                let image: Vec<f64> = matrix.iter().map(|row| dot(row, vector)).collect();
                let value = dot(&image, vector);
                let apart = image.iter().zip(vector).fold(0.0, |most: f64, (x, v)| most.max((x - value * v).abs()));
                assert!(apart < 1e-10 && value <= before + 1e-10, "{n}: {apart} {value} {before}");
                before = value;
            }
        }
    }

    #[test]
    fn a_basis_is_made_also_of_vectors_that_depend_on_each_other() {
        assert_orthonormal(&orthonormalize(symmetric(6)).unwrap());
        assert_orthonormal(&orthonormalize(vec![vec![0.0; 4]; 4]).unwrap());
        let twice = vec![vec![1.0, 2.0, 0.0], vec![2.0, 4.0, 0.0], vec![0.0, 1.0, 1.0]];
        let made = orthonormalize(twice).unwrap();
        assert_orthonormal(&made);
        assert!((made[0][1] - 2.0 / 5f64.sqrt()).abs() < 1e-15);
        assert!(eigenvectors(Vec::new()).is_empty());
    }

    /// More vectors than a block has, of which some depend on others, and very large ones.
    #[test]
    fn a_basis_is_made_of_many_vectors() {
        let mut vectors = random(150);
        vectors[3] = vectors[140].clone();
        vectors[149] = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a + b).collect();
        vectors[100].iter_mut().for_each(|x| *x *= 1e30);
        assert_orthonormal(&orthonormalize(vectors).unwrap());
    }

    /// Sides that are large enough for several threads.
    #[test]
    fn bases_are_the_same_for_any_number_of_threads() {
        let vectors = random(200);
        let product = |a: &Vec<f64>| vectors.iter().map(|b| dot(a, b)).collect();
        let symmetric: Vectors = vectors.iter().map(product).collect();
        let bases =
            |threads| with_threads(threads, || (eigen(symmetric.clone()), orthonormalize(random(200)).unwrap()));
        let alone = bases(1);
        assert_orthonormal(&alone.0.1);
        assert!(bases(3) == alone);
    }

    fn random(n: usize) -> Vectors {
        let numbers = Stream::new(0, "vectors").normal(0, n * n);
        numbers.chunks_exact(n).map(|numbers| numbers.iter().copied().map(f64::from).collect()).collect()
    }
}
