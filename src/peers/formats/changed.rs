//! Changed forms of real files, the same in every run, for tests of readers.

/// xorshift64*.
pub(in crate::peers) struct Random(pub(in crate::peers) u64);

impl Random {
    pub(in crate::peers) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

/// Changes a few bytes: bits, pieces that are cut out or repeated, an end that is cut off.
pub(in crate::peers) fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let start = random.below(bytes.len());
        let end = (start + random.below(24)).min(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(start.max(1)),
            1 => drop(bytes.drain(start..end)),
            2 => {
                let piece = bytes[start..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            3 => bytes[start] = random.below(256) as u8,
            _ => bytes[start] ^= 1 << random.below(8),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}
