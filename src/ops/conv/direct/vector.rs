//! Vectors of numbers of f32 in a register of AVX-512 or of AVX2. A convolution adds the same products in the same order
//! with both, so its bits are the same.

#![expect(unsafe_op_in_unsafe_fn, reason = "a function is one or a few instructions, with one condition for all")]

use std::arch::x86_64::*;

/// The registers that convolutions in f32 are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registers {
    Avx512,
    Avx2,
}

impl Registers {
    /// Returns the widest of this processor, if it has any.
    pub fn here() -> Option<Self> {
        [Self::Avx512, Self::Avx2].into_iter().find(|registers| registers.are_there())
    }

    /// Whether this processor has them.
    pub fn are_there(self) -> bool {
        match self {
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        }
    }

    /// Returns the numbers in one.
    pub fn lanes(self) -> usize {
        match self {
            Self::Avx512 => __m512::LANES,
            Self::Avx2 => __m256::LANES,
        }
    }

    /// Returns the outputs that are computed together.
    pub fn outputs(self) -> usize {
        match self {
            Self::Avx512 => 8,
            Self::Avx2 => 4,
        }
    }
}

/// A register of numbers.
///
/// # Safety
/// The processor has the instructions, and what pointers name can be read or written. All functions are inlined into one
/// that enables the instructions.
pub(super) trait Vector: Copy {
    /// Numbers in a register.
    const LANES: usize;

    /// The most vectors of places whose sums are computed together: with the outputs of [`Registers::outputs`] they leave
    /// registers for the numbers that are multiplied. With three of AVX2 the compiler moves sums to memory, and takes twice
    /// as long.
    const PLACES: usize;

    unsafe fn zero() -> Self;

    /// The same number in every lane.
    unsafe fn splat(x: f32) -> Self;

    unsafe fn load(from: *const f32) -> Self;

    /// Reads `count` numbers, at most as many as there are lanes; the other lanes are zero.
    unsafe fn load_some(from: *const f32, count: usize) -> Self;

    unsafe fn store(self, to: *mut f32);

    /// Writes the first `count` numbers.
    unsafe fn store_some(self, count: usize, to: *mut f32);

    /// Writes the numbers of the lanes in `mask`, one after the other, and may write any numbers after them: `room` is how
    /// many fit.
    unsafe fn store_masked(self, mask: u16, room: usize, to: *mut f32);

    unsafe fn add(self, other: Self) -> Self;

    /// `self * factor + sum`, rounded once.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// Zero in place of negative numbers; NaN stays.
    unsafe fn relu(self) -> Self;

    /// The numbers in even lanes of this and then of the next register.
    unsafe fn even(self, next: Self) -> Self;

    /// Calls `write` with the columns of the square whose rows `line` returns.
    unsafe fn transpose(line: impl Fn(usize) -> Self, write: impl FnMut(usize, Self));
}

impl Vector for __m512 {
    const LANES: usize = 16;
    const PLACES: usize = 3;

    #[inline(always)]
    unsafe fn zero() -> Self {
        _mm512_setzero_ps()
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        _mm512_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        _mm512_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        _mm512_maskz_loadu_ps(ones(count), from)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self)
    }

    #[inline(always)]
    unsafe fn store_some(self, count: usize, to: *mut f32) {
        _mm512_mask_storeu_ps(to, ones(count), self)
    }

    #[inline(always)]
    unsafe fn store_masked(self, mask: u16, _room: usize, to: *mut f32) {
        _mm512_maskz_compress_ps(mask, self).store_some(mask.count_ones() as usize, to)
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        _mm512_add_ps(self, other)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        _mm512_fmadd_ps(self, factor, sum)
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        _mm512_max_ps(_mm512_setzero_ps(), self)
    }

    #[inline(always)]
    unsafe fn even(self, next: Self) -> Self {
        let places = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        _mm512_permutex2var_ps(self, places, next)
    }

    #[inline(always)]
    unsafe fn transpose(line: impl Fn(usize) -> Self, mut write: impl FnMut(usize, Self)) {
        let lines = crate::cpu::product::transposed(std::array::from_fn(
            #[inline(always)]
            |row| _mm512_castps_si512(line(row)),
        ));
        for (column, line) in lines.into_iter().enumerate() {
            write(column, _mm512_castsi512_ps(line));
        }
    }
}

impl Vector for __m256 {
    const LANES: usize = 8;
    const PLACES: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> Self {
        _mm256_setzero_ps()
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        _mm256_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        _mm256_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        match count {
            Self::LANES.. => _mm256_loadu_ps(from),
            _ => _mm256_maskload_ps(from, first_lanes(count)),
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm256_storeu_ps(to, self)
    }

    #[inline(always)]
    unsafe fn store_some(self, count: usize, to: *mut f32) {
        match count {
            Self::LANES.. => _mm256_storeu_ps(to, self),
            _ => _mm256_maskstore_ps(to, first_lanes(count), self),
        }
    }

    #[inline(always)]
    unsafe fn store_masked(self, mask: u16, room: usize, to: *mut f32) {
        let count = mask.count_ones() as usize;
        let lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(COMPRESSED[usize::from(mask)].as_ptr().cast()));
        let dense = _mm256_permutevar8x32_ps(self, lanes);
        // A masked store takes as long as a dozen others on some processors.
        dense.store_some(if room >= Self::LANES { Self::LANES } else { count }, to);
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        _mm256_add_ps(self, other)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        _mm256_fmadd_ps(self, factor, sum)
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        _mm256_max_ps(_mm256_setzero_ps(), self)
    }

    #[inline(always)]
    unsafe fn even(self, next: Self) -> Self {
        let mixed = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(self, next));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(mixed))
    }

    #[inline(always)]
    unsafe fn transpose(line: impl Fn(usize) -> Self, mut write: impl FnMut(usize, Self)) {
        let r: [Self; 8] = std::array::from_fn(line);
        let mut pairs = [Self::zero(); 8];
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut quads = [Self::zero(); 8];
        for half in 0..2 {
            let [a, b, c, d] = std::array::from_fn(|i| pairs[4 * half + i]);
            quads[4 * half] = _mm256_shuffle_ps::<0b01_00_01_00>(a, c);
            quads[4 * half + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, c);
            quads[4 * half + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(b, d);
            quads[4 * half + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(b, d);
        }
        for i in 0..4 {
            write(i, _mm256_permute2f128_ps::<0x20>(quads[i], quads[4 + i]));
            write(4 + i, _mm256_permute2f128_ps::<0x31>(quads[i], quads[4 + i]));
        }
    }
}

/// The mask of the first `count` of sixteen lanes.
pub(super) fn ones(count: usize) -> u16 {
    u16::MAX.checked_shr(16u32.saturating_sub(count as u32)).unwrap_or(0)
}

/// All bits of the first `count` of eight lanes.
#[inline(always)]
unsafe fn first_lanes(count: usize) -> __m256i {
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    _mm256_loadu_si256(LANES[8 - count..].as_ptr().cast())
}

/// For each mask of eight lanes, those in it.
static COMPRESSED: [[u8; 8]; 256] = compressed();

const fn compressed() -> [[u8; 8]; 256] {
    let mut lanes = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                lanes[mask][next] = lane;
                next += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<V: Vector>() {
        let numbers: Vec<f32> = (0..64).map(|i| i as f32 - 5.0).collect();
        let read = |vector: V| {
            let mut to = vec![0.0; V::LANES];
            // SAFETY: as below.
            unsafe { vector.store(to.as_mut_ptr()) };
            to
        };
        // SAFETY: the processor has the instructions, and all pointers have room.
        unsafe {
            let (first, second) = (V::load(numbers.as_ptr()), V::load(numbers[V::LANES..].as_ptr()));
            let even: Vec<f32> = numbers[..2 * V::LANES].iter().copied().step_by(2).collect();
            assert_eq!(read(first.even(second)), even);
            let shown: Vec<f32> = numbers[..V::LANES].iter().map(|x| x.max(0.0)).collect();
            assert_eq!(read(first.relu()), shown);
            assert!(read(V::splat(f32::NAN).relu()).iter().all(|x| x.is_nan()));
            for count in 0..=V::LANES {
                let mut expected = numbers[..V::LANES].to_vec();
                expected[count..].fill(0.0);
                assert_eq!(read(V::load_some(numbers.as_ptr(), count)), expected);
                let mut to = vec![0.0; V::LANES];
                first.store_some(count, to.as_mut_ptr());
                assert_eq!(to, expected);
            }
            for mask in (0..1u32 << V::LANES).step_by(7) {
                let mask = mask as u16;
                let kept: Vec<f32> =
                    (0..V::LANES).filter(|lane| mask >> lane & 1 == 1).map(|lane| numbers[lane]).collect();
                for room in [kept.len(), V::LANES] {
                    let mut to = vec![7.0; V::LANES];
                    first.store_masked(mask, room, to.as_mut_ptr());
                    assert!(to[..kept.len()] == kept && to[room..].iter().all(|&x| x == 7.0));
                }
            }
            let mut columns = vec![Vec::new(); V::LANES];
            V::transpose(|row| V::splat(row as f32), |column, line| columns[column] = read(line));
            assert!(columns.iter().all(|column| column.iter().enumerate().all(|(row, &x)| x == row as f32)));
            V::transpose(|_| first, |column, line| assert_eq!(read(line), vec![numbers[column]; V::LANES]));
        }
    }

    #[test]
    fn registers_hold_their_numbers_in_order() {
        #[target_feature(enable = "avx512f")]
        fn in_avx512() {
            check::<__m512>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn in_avx2() {
            check::<__m256>();
        }
        if Registers::Avx512.are_there() {
            // SAFETY: the processor has the instructions.
            unsafe { in_avx512() }
        }
        if Registers::Avx2.are_there() {
            // SAFETY: the processor has the instructions.
            unsafe { in_avx2() }
        }
        assert_eq!([0, 1, 15, 16].map(ones), [0, 1, 0x7fff, 0xffff]);
    }
}
