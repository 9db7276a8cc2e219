//! A basis that begins as the axes and is reflected and rotated. Bands of its columns are computed by different threads, each
//! within the cache of its processor.

use super::tridiagonal::Reflection;
use super::vectors::Vectors;
use crate::cpu::{for_chunks, vectorized};

/// Columns of a band.
const WIDTH: usize = 32;

/// The numbers of a row in a band.
type Row = [f64; WIDTH];

/// Rotations of neighbors: of the vectors `first - 1` and `first` by the first turn, of those before by the next.
pub(super) struct Sweep {
    pub first: usize,
    pub turns: Vec<Turn>,
}

/// The cosine and the sine of a rotation.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub cosine: f64,
    pub sine: f64,
}

/// Vectors, in bands of their columns. The last band can have columns beyond the vectors, which stay zero.
pub(super) struct Columns {
    length: usize,
    bands: Vec<Vec<Row>>,
}

impl Columns {
    /// Returns the axes of this many dimensions.
    pub fn axes(length: usize) -> Self {
        let mut bands = vec![vec![[0.0; WIDTH]; length]; length.div_ceil(WIDTH)];
        for (number, band) in bands.iter_mut().enumerate() {
            let own = band[number * WIDTH..].iter_mut().take(WIDTH);
            own.enumerate().for_each(|(column, row)| row[column] = 1.0);
        }
        Self { length, bands }
    }

    /// Makes reflections, one after the other.
    pub fn reflect(&mut self, reflections: &[Reflection]) {
        let numbers = reflections.iter().map(|reflection| reflection.along.len()).sum();
        self.for_bands(
            numbers,
            #[inline(always)]
            |band| reflections.iter().for_each(|reflection| reflect(band, reflection)),
        );
    }

    /// Makes rotations, one after the other.
    pub fn rotate(&mut self, sweeps: &[Sweep]) {
        let numbers = sweeps.iter().map(|sweep| sweep.turns.len()).sum();
        self.for_bands(
            numbers,
            #[inline(always)]
            |band| sweeps.iter().for_each(|sweep| rotate(band, sweep)),
        );
    }

    /// Calls `work`, which visits this many rows, with each band.
    #[inline(always)]
    fn for_bands(&mut self, rows: usize, work: impl Fn(&mut [Row]) + Sync) {
        for_chunks(&mut self.bands, 1, rows.saturating_mul(self.length), |_, bands| {
            bands.iter_mut().for_each(|band| {
                vectorized(
                    #[inline(always)]
                    || work(band),
                )
            });
        });
    }

    /// Returns the vectors.
    pub fn into_vectors(self) -> Vectors {
        let of_row = |row: usize| {
            let mut vector: Vec<f64> = self.bands.iter().flat_map(|band| band[row]).collect();
            vector.truncate(self.length);
            vector
        };
        (0..self.length).map(of_row).collect()
    }
}

#[inline(always)]
fn reflect(band: &mut [Row], reflection: &Reflection) {
    let rows = &mut band[reflection.first..];
    let mut sums = [0.0; WIDTH];
    for (row, v) in rows.iter().zip(&reflection.along) {
        for lane in 0..WIDTH {
            sums[lane] += v * row[lane];
        }
    }
    for (row, v) in rows.iter_mut().zip(&reflection.along) {
        for lane in 0..WIDTH {
            row[lane] -= 2.0 * v * sums[lane];
        }
    }
}

#[inline(always)]
fn rotate(band: &mut [Row], sweep: &Sweep) {
    let below = (0..sweep.first).rev();
    for (turn, place) in sweep.turns.iter().zip(below) {
        let (low, high) = band.split_at_mut(place + 1);
        let (low, high) = (&mut low[place], &mut high[0]);
        for lane in 0..WIDTH {
            let (x, y) = (low[lane], high[lane]);
            low[lane] = turn.cosine * x - turn.sine * y;
            high[lane] = turn.sine * x + turn.cosine * y;
        }
    }
}
