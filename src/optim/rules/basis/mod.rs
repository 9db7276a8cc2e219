//! Orthonormal bases of symmetric matrices, on the host and in f64: the eigenvectors of one, and the basis of the columns
//! of a matrix. Each is the same for any number of threads.

/// Vectors of equal length.
pub(super) type Vectors = Vec<Vec<f64>>;

/// Returns the eigenvalues of a symmetric matrix, the largest first, and their vectors: Householder's reduction to three
/// diagonals, then the implicit QL method, as in Golub and Van Loan, "Matrix Computations", sections 8.3.1 and 8.3.3.
pub(super) fn eigen(mut matrix: Vectors) -> (Vec<f64>, Vectors) {
    let (mut diagonal, mut beside, mut vectors) = tridiagonal(&mut matrix);
    diagonalize(&mut diagonal, &mut beside, &mut vectors);
    let mut order: Vec<usize> = (0..diagonal.len()).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    let values = order.iter().map(|&place| diagonal[place]).collect();
    (values, order.into_iter().map(|place| std::mem::take(&mut vectors[place])).collect())
}

/// Returns the eigenvectors of a symmetric matrix, that of the largest eigenvalue first.
pub(super) fn eigenvectors(matrix: Vectors) -> Vectors {
    eigen(matrix).1
}

/// Reduces a matrix to a diagonal and the numbers beside it; also returns the vectors in which it has this form.
fn tridiagonal(matrix: &mut Vectors) -> (Vec<f64>, Vec<f64>, Vectors) {
    let n = matrix.len();
    let mut vectors: Vectors = (0..n).map(|i| unit(n, i)).collect();
    for k in 0..n.saturating_sub(2) {
        let column: Vec<f64> = (k + 1..n).map(|i| matrix[i][k]).collect();
        let Some(reflector) = reflector(&column) else { continue };
        let offset = k + 1;
        // From both sides: `A - v wᵀ - w vᵀ`.
        let product: Vec<f64> = (offset..n).map(|i| dot(&matrix[i][offset..], &reflector)).collect();
        let half = dot(&product, &reflector);
        let w: Vec<f64> = product.iter().zip(&reflector).map(|(p, v)| 2.0 * (p - half * v)).collect();
        for (i, row) in matrix[offset..].iter_mut().enumerate() {
            for (x, (v, w_j)) in row[offset..].iter_mut().zip(reflector.iter().zip(&w)) {
                *x -= reflector[i] * w_j + w[i] * v;
            }
        }
        let size = dot(&column, &column).sqrt();
        let below = if column[0] > 0.0 { -size } else { size };
        matrix[k][offset..].fill(0.0);
        matrix[offset..].iter_mut().for_each(|row| row[k] = 0.0);
        (matrix[offset][k], matrix[k][offset]) = (below, below);
        reflect(&mut vectors[offset..], &reflector);
    }
    let diagonal = (0..n).map(|i| matrix[i][i]).collect();
    let beside = (0..n.saturating_sub(1)).map(|i| matrix[i + 1][i]).chain([0.0]).take(n).collect();
    (diagonal, beside, vectors)
}

fn unit(n: usize, place: usize) -> Vec<f64> {
    (0..n).map(|i| if i == place { 1.0 } else { 0.0 }).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Returns the unit vector whose reflection takes `column` to a multiple of its first axis; `None` if it is there.
fn reflector(column: &[f64]) -> Option<Vec<f64>> {
    let size = dot(column, column).sqrt();
    if size == 0.0 || column[1..].iter().all(|x| *x == 0.0) {
        return None;
    }
    let mut v = column.to_vec();
    v[0] += if v[0] > 0.0 { size } else { -size };
    let size = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|x| *x /= size);
    Some(v)
}

/// Reflects the columns of these rows.
fn reflect(rows: &mut [Vec<f64>], reflector: &[f64]) {
    let n = rows.first().map_or(0, Vec::len);
    let mut along = vec![0.0; n];
    for (row, v) in rows.iter().zip(reflector) {
        along.iter_mut().zip(row).for_each(|(sum, x)| *sum += v * x);
    }
    for (row, v) in rows.iter_mut().zip(reflector) {
        row.iter_mut().zip(&along).for_each(|(x, sum)| *x -= 2.0 * v * sum);
    }
}

/// Brings a matrix of three diagonals to one, and rotates `vectors` along.
fn diagonalize(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [Vec<f64>]) {
    /// Far more than a number needs.
    const MOST: usize = 60;
    let n = diagonal.len();
    for first in 0..n {
        for _ in 0..MOST {
            let is_apart = |i: &usize| beside[*i].abs() <= f64::EPSILON * (diagonal[*i].abs() + diagonal[*i + 1].abs());
            let last = (first..n - 1).find(is_apart).unwrap_or(n - 1);
            if last == first {
                break;
            }
            chase(diagonal, beside, vectors, first, last);
        }
    }
}

/// One sweep of rotations, from `last` up to `first`, shifted by an eigenvalue of the first two rows.
fn chase(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [Vec<f64>], first: usize, last: usize) {
    let half = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
    let root = half.hypot(1.0).copysign(half);
    let mut g = diagonal[last] - diagonal[first] + beside[first] / (half + root);
    let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
    for i in (first..last).rev() {
        let (f, b) = (sine * beside[i], cosine * beside[i]);
        let r = f.hypot(g);
        beside[i + 1] = r;
        if r == 0.0 {
            diagonal[i + 1] -= moved;
            beside[last] = 0.0;
            return;
        }
        (sine, cosine) = (f / r, g / r);
        g = diagonal[i + 1] - moved;
        let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
        moved = sine * r;
        diagonal[i + 1] = g + moved;
        g = cosine * r - b;
        let (low, high) = vectors.split_at_mut(i + 1);
        for (x, y) in low[i].iter_mut().zip(&mut high[0]) {
            (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
        }
    }
    diagonal[first] -= moved;
    beside[first] = g;
    beside[last] = 0.0;
}

/// Makes vectors orthonormal, each by the part of it that is orthogonal to those before. In place of one that has no such
/// part there is any other direction.
pub(super) fn orthonormalize(mut vectors: Vectors) -> Vectors {
    let n = vectors.len();
    let mut next_axis = 0;
    for k in 0..n {
        let (done, rest) = vectors.split_at_mut(k);
        let size = dot(&rest[0], &rest[0]).sqrt();
        let mut vector = std::mem::take(&mut rest[0]);
        // Twice, because rounding leaves a little of the others after the first time.
        (0..2).for_each(|_| leave(&mut vector, done));
        // Not with NaN.
        let is_left = |vector: &[f64]| dot(vector, vector).sqrt() > size * f64::EPSILON;
        while !is_left(&vector) && next_axis < n {
            vector = unit(n, next_axis);
            next_axis += 1;
            (0..2).for_each(|_| leave(&mut vector, done));
            if dot(&vector, &vector) > 1e-3 / n as f64 {
                break;
            }
        }
        let size = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= size);
        vectors[k] = vector;
    }
    vectors
}

/// Subtracts the parts of `vector` along others, which are orthonormal.
fn leave(vector: &mut [f64], others: &[Vec<f64>]) {
    for other in others {
        let along = dot(vector, other);
        vector.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for n in [1, 2, 3, 5, 17] {
            let matrix = symmetric(n);
            let vectors = eigenvectors(matrix.clone());
            assert_orthonormal(&vectors);
            let mut before = f64::INFINITY;
            for vector in &vectors {
                let image: Vec<f64> = matrix.iter().map(|row| dot(row, vector)).collect();
                let value = dot(&image, vector);
                let apart = image.iter().zip(vector).fold(0.0, |most: f64, (x, v)| most.max((x - value * v).abs()));
                assert!(apart < 1e-11 && value <= before + 1e-11, "{n}: {apart} {value} {before}");
                before = value;
            }
        }
    }

    #[test]
    fn a_basis_is_made_also_of_vectors_that_depend_on_each_other() {
        assert_orthonormal(&orthonormalize(symmetric(6)));
        assert_orthonormal(&orthonormalize(vec![vec![0.0; 4]; 4]));
        let twice = vec![vec![1.0, 2.0, 0.0], vec![2.0, 4.0, 0.0], vec![0.0, 1.0, 1.0]];
        let made = orthonormalize(twice);
        assert_orthonormal(&made);
        assert!((made[0][1] - 2.0 / 5f64.sqrt()).abs() < 1e-15);
        assert!(eigenvectors(Vec::new()).is_empty());
    }
}
