//! The eigenvalues of a diagonal matrix with positive multiple of `z zᵀ` added, as the roots of
//! `1 / multiple + Σ z² / (d - x)`, and their vectors.
//!
//! Between two poles a root is found by the middle way of Li, "Solving Secular Equations Stably and Efficiently"
//! (1993), as its distance from the nearer pole. Vectors are those of the `z` for which the roots found are exact, so
//! they are orthonormal to rounding: Gu and Eisenstat, "A Stable and Efficient Algorithm for the Rank-One Modification
//! of the Symmetric Eigenproblem" (1994).

use super::vectors::{LANES, dot_inline};
use crate::cpu::{for_chunks, vectorized};

/// Numbers of a task.
const TASK: usize = 32;

/// Far more iterations than a root needs.
const MOST: usize = 100;

/// Poles, the smallest first, no two of which are close, and `z` of a length of 1, without zeros.
pub(super) struct Secular {
    pub poles: Vec<f64>,
    pub z: Vec<f64>,
    pub multiple: f64,
}

/// A root, as the number of a pole and the distance from it.
#[derive(Clone, Copy, Default)]
pub(super) struct Root {
    pole: usize,
    beyond: f64,
}

/// The two parts of the sum at a place, each with its derivative.
#[derive(Clone, Copy)]
struct Sums {
    below: [f64; 2],
    above: [f64; 2],
}

impl Secular {
    /// Returns the roots, the smallest first.
    pub fn roots(&self) -> Vec<Root> {
        let count = self.poles.len();
        let mut roots = vec![Root::default(); count];
        for_chunks(&mut roots, TASK, count * count * 8, |task, roots| {
            vectorized(
                #[inline(always)]
                || roots.iter_mut().enumerate().for_each(|(place, root)| *root = self.root(task * TASK + place)),
            );
        });
        roots
    }

    /// Returns the value of a root.
    pub fn value(&self, root: Root) -> f64 {
        self.poles[root.pole] + root.beyond
    }

    /// Returns the root above pole number `place`.
    #[inline(always)]
    fn root(&self, place: usize) -> Root {
        let (mut root, [mut least, mut most], mut sums) = self.begin(place);
        for _ in 0..MOST {
            let value = self.value_of(sums);
            if value < 0.0 {
                least = root.beyond
            } else {
                most = root.beyond
            }
            let size = 1.0 / self.multiple + sums.above[0] - sums.below[0];
            // Rounding may have made all of it.
            if value.abs() <= f64::EPSILON * self.poles.len() as f64 * size {
                break;
            }
            let distance = |pole: &f64| (pole - self.poles[root.pole]) - root.beyond;
            let step = step(value, sums, distance(&self.poles[place]), self.poles.get(place + 1).map(distance));
            let is_within = |next: &f64| *next > least && *next < most;
            let next = Some(root.beyond + step).filter(is_within).unwrap_or(least + (most - least) / 2.0);
            // No number is between them, or one of them is NaN.
            if !is_within(&next) || next == root.beyond {
                break;
            }
            root.beyond = next;
            sums = self.sums(root, place);
        }
        root
    }

    /// Returns where to begin, with the distances between which the root is, and the sums: in the middle between two
    /// poles.
    #[inline(always)]
    fn begin(&self, place: usize) -> (Root, [f64; 2], Sums) {
        let pole = self.poles[place];
        // The last root is less than this beyond the last pole.
        let Some(next) = self.poles.get(place + 1) else {
            let middle = Root { pole: place, beyond: self.multiple / 2.0 };
            return (middle, [0.0, self.multiple], self.sums(middle, place));
        };
        let half = (next - pole) / 2.0;
        let middle = Root { pole: place, beyond: half };
        let sums = self.sums(middle, place);
        match self.value_of(sums) < 0.0 {
            true => (Root { pole: place + 1, beyond: -half }, [-half, 0.0], sums),
            false => (middle, [0.0, half], sums),
        }
    }

    #[inline(always)]
    fn value_of(&self, sums: Sums) -> f64 {
        1.0 / self.multiple + sums.below[0] + sums.above[0]
    }

    /// Returns the sums at a place, over the poles to number `last` and over those above.
    #[inline(always)]
    fn sums(&self, at: Root, last: usize) -> Sums {
        let origin = self.poles[at.pole];
        let (poles, z) = (self.poles.split_at(last + 1), self.z.split_at(last + 1));
        let of = |poles: &[f64], z: &[f64]| sum(poles, z, |pole| (pole - origin) - at.beyond);
        Sums { below: of(poles.0, z.0), above: of(poles.1, z.1) }
    }

    /// Returns the `z` of which the roots are exact.
    pub fn exact_z(&self, roots: &[Root]) -> Vec<f64> {
        let count = self.poles.len();
        let mut exact = vec![0.0; count];
        for_chunks(&mut exact, TASK, count * count * 8, |task, exact| {
            let first = task * TASK;
            let own = &self.poles[first..first + exact.len()];
            vectorized(
                #[inline(always)]
                || {
                    exact.fill(1.0);
                    for (j, root) in roots.iter().enumerate() {
                        let (pole, origin) = (self.poles[j], self.poles[root.pole]);
                        let kept = j.checked_sub(first).and_then(|place| exact.get(place).copied().map(|x| (place, x)));
                        for (x, d) in exact.iter_mut().zip(own) {
                            *x *= ((origin - d) + root.beyond) / (pole - d);
                        }
                        if let Some((place, kept)) = kept {
                            exact[place] = kept * ((origin - pole) + root.beyond);
                        }
                    }
                },
            );
            for (x, z) in exact.iter_mut().zip(&self.z[first..]) {
                *x = x.abs().sqrt().copysign(*z);
            }
        });
        exact
    }

    /// Writes the unit vector of a root, with the poles and `z` in any order.
    #[inline(always)]
    pub fn write_vector(&self, vector: &mut [f64], poles: &[f64], z: &[f64], root: Root) {
        let origin = self.poles[root.pole];
        for ((x, d), z) in vector.iter_mut().zip(poles).zip(z) {
            *x = z / ((d - origin) - root.beyond);
        }
        let scale = 1.0 / dot_inline(vector, vector).sqrt();
        vector.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Returns the sum of `z²` by the distance of each pole, and its derivative.
#[inline(always)]
fn sum(poles: &[f64], z: &[f64], distance: impl Fn(f64) -> f64) -> [f64; 2] {
    let ((poles, other_poles), (z, other_z)) = (poles.as_chunks::<LANES>(), z.as_chunks::<LANES>());
    let (mut sums, mut derivatives) = ([0.0; LANES], [0.0; LANES]);
    for (pole, z) in poles.iter().zip(z) {
        for lane in 0..LANES {
            let share = z[lane] / distance(pole[lane]);
            sums[lane] += z[lane] * share;
            derivatives[lane] += share * share;
        }
    }
    let (mut sum, mut derivative) = (sums.iter().sum::<f64>(), derivatives.iter().sum::<f64>());
    for (pole, z) in other_poles.iter().zip(other_z) {
        let share = z / distance(*pole);
        sum += z * share;
        derivative += share * share;
    }
    [sum, derivative]
}

/// Returns the step to the root of a function with the same sums and derivatives, which has one pole below, and one
/// above if there is one at this distance.
#[inline(always)]
fn step(value: f64, sums: Sums, below: f64, above: Option<f64>) -> f64 {
    let Some(above) = above else {
        let (residue, constant) = (below * below * sums.below[1], value - below * sums.below[1]);
        return below + residue / constant;
    };
    let derivative = sums.below[1] + sums.above[1];
    let c = value - below * sums.below[1] - above * sums.above[1];
    let a = (below + above) * value - below * above * derivative;
    let b = below * above * value;
    let root = (a * a - 4.0 * b * c).abs().sqrt();
    if a <= 0.0 { (a - root) / (2.0 * c) } else { 2.0 * b / (a + root) }
}
