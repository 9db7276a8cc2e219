//! Maps and sets of tensors, by their ids.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use candle_core::TensorId;

/// A map from tensors.
pub(crate) type TensorMap<V> = HashMap<TensorId, V, BuildHasherDefault<IdHasher>>;

/// A set of tensors.
pub(super) type TensorSet = HashSet<TensorId, BuildHasherDefault<IdHasher>>;

/// Multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4). Ids are counted by Candle and
/// come from no input, so the standard hasher, which resists chosen keys, would only take longer.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, id: usize) {
        /// 2^64 divided by the golden ratio.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        self.0 = (self.0 ^ id as u64).wrapping_mul(GOLDEN);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
