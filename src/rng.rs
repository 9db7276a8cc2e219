//! Random numbers as a function: the value at `(seed, purpose, step, index)` is computed, not drawn from a generator.
//!
//! There is no generator state to save. Initial weights, shuffling and dropout masks each have a purpose name and read
//! the numbers of their step, so a resumed run sees the same ones.
//!
//! The function is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
//! (SC 2011). The key is a hash of seed and purpose; the counter is index and step, 64 bits each.

use std::ops::Range;

/// Philox4x32-10: 128 random bits for a 128-bit counter and a 64-bit key.
#[doc(hidden)]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut counters = counter.map(|word| [word]);
    philox4x32_10_of(&mut counters, key);
    counters.map(|[word]| word)
}

/// Computes `N` counters at once: their first words, their second words and so on.
#[inline(always)]
fn philox4x32_10_of<const N: usize>(counters: &mut [[u32; N]; 4], mut key: [u32; 2]) {
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let [first, second, third, fourth] = counters;
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        for i in 0..N {
            let a = u64::from(MULTIPLIERS[0]) * u64::from(first[i]);
            let b = u64::from(MULTIPLIERS[1]) * u64::from(third[i]);
            first[i] = (b >> 32) as u32 ^ second[i] ^ key[0];
            second[i] = b as u32;
            third[i] = (a >> 32) as u32 ^ fourth[i] ^ key[1];
            fourth[i] = a as u32;
        }
    }
}

/// The random numbers of one purpose and seed.
///
/// Streams of different purposes are independent; `"init/0.weight"` and `"dropout/1"` never share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// Creates the stream of `purpose` under `seed`. The key is the first 64 bits of BLAKE3 over both.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        let hash = hasher.finalize();
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        Self { key: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])] }
    }

    /// The key, for kernels that draw the same words elsewhere.
    pub(crate) fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Returns the 128 bits at block `index` of `step`.
    pub fn block(&self, step: u64, index: u64) -> [u32; 4] {
        let counter = [index as u32, (index >> 32) as u32, step as u32, (step >> 32) as u32];
        philox4x32_10(counter, self.key)
    }

    /// Returns consecutive blocks, starting with `first`. Each step of the function is computed for all blocks
    /// together, so that it can be vectorized.
    #[inline(always)]
    pub(crate) fn blocks<const N: usize>(&self, step: u64, first: u64) -> [[u32; 4]; N] {
        let index = |i: usize| first.wrapping_add(i as u64);
        let mut counters = [
            std::array::from_fn(|i| index(i) as u32),
            std::array::from_fn(|i| (index(i) >> 32) as u32),
            [step as u32; N],
            [(step >> 32) as u32; N],
        ];
        philox4x32_10_of(&mut counters, self.key);
        std::array::from_fn(|i| std::array::from_fn(|word| counters[word][i]))
    }

    /// Returns 64 random bits at `index` of `step`.
    pub fn bits(&self, step: u64, index: u64) -> u64 {
        let [low, high, ..] = self.block(step, index);
        u64::from(low) | u64::from(high) << 32
    }

    /// Returns `count` numbers uniform in `[0, 1)`, multiples of 2^-24, for `step`.
    pub fn uniform(&self, step: u64, count: usize) -> Vec<f32> {
        collected(count, self.words(step, count).map(unit_f32))
    }

    /// Returns `count` standard normal numbers for `step`, by Box and Muller (1958), computed in f64.
    pub fn normal(&self, step: u64, count: usize) -> Vec<f32> {
        collected(count, self.normal_pairs(step, 0..count.div_ceil(2) as u64))
    }

    /// Returns the numbers of [`Stream::normal`] that these pairs of them are.
    pub(crate) fn normal_pairs(&self, step: u64, pairs: Range<u64>) -> impl Iterator<Item = f32> + '_ {
        pairs.flat_map(move |index| {
            let [a, b, c, d] = self.block(step, index);
            let radius = (-2.0 * open_unit_f64(a, b).ln()).sqrt();
            let angle = 2.0 * std::f64::consts::PI * open_unit_f64(c, d);
            [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
        })
    }

    /// Returns the first `count` 32-bit words of `step`.
    pub fn words(&self, step: u64, count: usize) -> impl Iterator<Item = u32> + '_ {
        (0..count.div_ceil(4) as u64).flat_map(move |index| self.block(step, index)).take(count)
    }
}

/// Returns the first `count` numbers. `collect` would not know how many they are, and let the vector grow to twice that.
fn collected(count: usize, numbers: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut all = Vec::with_capacity(count);
    all.extend(numbers.take(count));
    all
}

/// Converts a word to a number in `[0, 1)`: its upper 24 bits, which f32 holds exactly.
fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Converts two words to a number in `(0, 1]`, so that its logarithm is finite.
fn open_unit_f64(low: u32, high: u32) -> f64 {
    let bits = u64::from(low) | u64::from(high) << 32;
    ((bits >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The random numbers of one step: a [`Stream`] for each purpose, all read at that step.
#[derive(Clone, Copy, Debug)]
pub struct StepRng {
    seed: u64,
    /// The number of the update.
    pub step: u64,
    micro_batch: usize,
}

impl StepRng {
    /// Returns the random numbers of `step` under `seed`.
    pub fn at(seed: u64, step: u64) -> Self {
        Self { seed, step, micro_batch: 0 }
    }

    /// Returns the random numbers of micro-batch number `micro_batch` of the step, counted from 0; they are all
    /// independent.
    pub fn of_micro_batch(self, micro_batch: usize) -> Self {
        Self { micro_batch, ..self }
    }

    /// Returns the stream of `purpose`; read it at [`StepRng::step`].
    pub fn stream(&self, purpose: &str) -> Stream {
        match self.micro_batch {
            0 => Stream::new(self.seed, purpose),
            later => Stream::new(self.seed, &format!("{purpose}#{later}")),
        }
    }
}

/// A permutation of `0..len` that is computed one position at a time: nothing is stored, and every position has the
/// same cost.
///
/// It is the generalized Feistel cipher of Black and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA
/// 2002), over a grid of about `sqrt(len)` by `sqrt(len)`, with Philox as the round function; results beyond the
/// end of the range are enciphered again until they are inside.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    stream: Stream,
    number: u64,
    len: u64,
    rows: u64,
    columns: u64,
}

impl Permutation {
    const ROUNDS: u64 = 10;

    /// Creates the permutation of `0..len` for `number` (an epoch, for example) from `stream`.
    pub fn new(stream: Stream, number: u64, len: usize) -> Self {
        let len = len as u64;
        let rows = (len.isqrt() + u64::from(len.isqrt().pow(2) < len)).max(1);
        let columns = len.div_ceil(rows).max(1);
        Self { stream, number, len, rows, columns }
    }

    /// Returns the element at `position`, which must be less than the length.
    pub fn at(&self, position: usize) -> usize {
        debug_assert!((position as u64) < self.len);
        let mut value = self.encipher(position as u64);
        while value >= self.len {
            value = self.encipher(value);
        }
        value as usize
    }

    fn encipher(&self, value: u64) -> u64 {
        let (mut row, mut column) = (value / self.columns, value % self.columns);
        for round in 0..Self::ROUNDS {
            if round % 2 == 0 {
                row = (row + self.round(round, column) % self.rows) % self.rows;
            } else {
                column = (column + self.round(round, row) % self.columns) % self.columns;
            }
        }
        row * self.columns + column
    }

    fn round(&self, round: u64, half: u64) -> u64 {
        self.stream.bits(self.number, round << 48 | half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors published with Random123 (`tests/kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, answer) in cases {
            assert_eq!(philox4x32_10(counter, key), answer);
        }
    }

    #[test]
    fn blocks_side_by_side_are_those_one_by_one() {
        let stream = Stream::new(3, "dropout/0");
        for first in [0, 7, u64::from(u32::MAX) - 3] {
            let blocks = stream.blocks::<16>(9, first);
            assert_eq!(blocks.to_vec(), (0..16).map(|i| stream.block(9, first + i)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_micro_batch_of_a_step_has_separate_numbers() {
        let stream = |micro_batch| StepRng::at(1, 5).of_micro_batch(micro_batch).stream("dropout/0");
        assert_eq!(stream(0), StepRng::at(1, 5).stream("dropout/0"));
        assert!(stream(1) != stream(0) && stream(2) != stream(1) && stream(2) != stream(0));
    }

    #[test]
    fn a_permutation_visits_every_position_once() {
        for len in (1..200).chain([1000, 1797, 4096]) {
            let permutation = Permutation::new(Stream::new(7, "shuffle"), 3, len);
            let mut seen = vec![false; len];
            for position in 0..len {
                assert!(!std::mem::replace(&mut seen[permutation.at(position)], true), "{len} has a repeat");
            }
        }
    }

    /// All 24 orders of four things should be equally likely: 24,000 draws, chi-squared with 23 degrees of
    /// freedom, whose 99.99 % quantile is 56.
    #[test]
    fn small_permutations_are_uniform() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..24_000 {
            let permutation = Permutation::new(Stream::new(1, "shuffle"), epoch, 4);
            let order: Vec<usize> = (0..4).map(|i| permutation.at(i)).collect();
            *counts.entry(order).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi_squared: f64 = counts.values().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_squared < 56.0, "chi-squared is {chi_squared}");
    }

    /// Position of row 0 over many epochs, in ten bins: chi-squared with 9 degrees of freedom, 99.99 % at 34.
    #[test]
    fn shuffled_positions_are_uniform() {
        let mut bins = [0; 10];
        for epoch in 0..10_000 {
            let landed = Permutation::new(Stream::new(5, "shuffle"), epoch, 1797).at(0);
            bins[landed * 10 / 1797] += 1;
        }
        let chi_squared: f64 = bins.iter().map(|&n| (f64::from(n) - 1000.0_f64).powi(2) / 1000.0).sum();
        assert!(chi_squared < 34.0, "chi-squared is {chi_squared}: {bins:?}");
    }

    /// Mean and variance of 200,000 draws, within five standard errors.
    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let draws = Stream::new(3, "init/w").normal(0, 200_000);
        let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / 200_000.0;
        let variance = draws.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 200_000.0;
        assert!(mean.abs() < 0.0112 && (variance - 1.0).abs() < 0.0159, "{mean} {variance}");
    }

    #[test]
    fn purposes_and_steps_do_not_share_numbers() {
        let a = Stream::new(0, "dropout/0").uniform(4, 8);
        assert_ne!(a, Stream::new(0, "dropout/1").uniform(4, 8));
        assert_ne!(a, Stream::new(1, "dropout/0").uniform(4, 8));
        assert_ne!(a, Stream::new(0, "dropout/0").uniform(5, 8));
        assert!(a.iter().all(|x| (0.0..1.0).contains(x)));
    }
}
