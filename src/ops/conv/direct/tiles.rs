//! Products of the matrix unit AMX with factors that lie in planes. Rust has no stable intrinsics for it.

use std::arch::asm;

use crate::cpu::product::{Layout, Registers};

/// Lines of a tile, and numbers of f32 or pairs of bf16 in one.
pub(super) const WIDTH: usize = 16;

/// Sums of a call of [`ForOutputs::multiply`].
#[repr(align(64))]
pub(super) struct Sums(pub [f32; 4 * WIDTH * WIDTH]);

/// The registers for sums of outputs: outputs times places, from weights of outputs times pairs of channels, and pairs of
/// channels times places.
pub(super) struct ForOutputs {
    /// Their layout, for this number of pairs.
    _registers: Registers,
    pairs: usize,
}

impl ForOutputs {
    /// # Safety
    /// The processor has AMX and the process may use it; the thread does not have the registers yet. There are one to
    /// sixteen pairs.
    pub unsafe fn take(pairs: usize) -> Self {
        let (sums, weights, pixels) = ((16, 64), (16, 4 * pairs as u16), (pairs as u8, 64));
        let layout = Layout::new([sums, sums, sums, sums, weights, weights, pixels, pixels]);
        // SAFETY: as promised by the caller.
        Self { _registers: unsafe { Registers::take(&layout) }, pairs }
    }

    /// Returns the pairs in a tile of weights.
    fn tile(&self) -> usize {
        WIDTH * self.pairs
    }

    /// Computes the sums of 32 outputs at 32 places. Tiles of weights lie one after the other, in order of `offsets`,
    /// those of the other sixteen outputs after them. At an offset from `planes` are the pixels of the first pair and
    /// place, `plane` pairs before those of the next pair.
    ///
    /// # Safety
    /// All of these can be read.
    pub unsafe fn of_32_outputs(
        &self,
        weights: *const u32,
        planes: *const u32,
        plane: usize,
        offsets: &[usize],
        sums: &mut Sums,
    ) {
        // SAFETY: as promised by the caller; the sums have room for four tiles.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "mov {at}, [{offsets}]",
                "lea {at}, [{planes} + {at} * 4]",
                "tileloadd tmm4, [{upper} + {line}]",
                "tileloadd tmm6, [{at} + {plane}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{at} + {plane} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{lower} + {line}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {upper}, {tile}",
                "add {lower}, {tile}",
                "add {offsets}, 8",
                "dec {count}",
                "jnz 2b",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 64], tmm1",
                "tilestored [{sums} + {row} + 2048], tmm2",
                "tilestored [{sums} + {row} + 2112], tmm3",
                at = out(reg) _,
                upper = inout(reg) weights => _,
                lower = inout(reg) weights.add(self.tile() * offsets.len()) => _,
                offsets = inout(reg) offsets.as_ptr() => _,
                count = inout(reg) offsets.len() => _,
                planes = in(reg) planes,
                plane = in(reg) 4 * plane,
                line = in(reg) 4 * self.pairs,
                tile = in(reg) 4 * self.tile(),
                row = in(reg) 128usize,
                sums = in(reg) sums.0.as_mut_ptr(),
                options(nostack),
            );
        }
    }

    /// Computes the sums of 16 outputs at 64 places, as [`ForOutputs::of_32_outputs`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn of_16_outputs(
        &self,
        weights: *const u32,
        planes: *const u32,
        plane: usize,
        offsets: &[usize],
        sums: &mut Sums,
    ) {
        // SAFETY: as promised by the caller; the sums have room for four tiles.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "mov {at}, [{offsets}]",
                "lea {at}, [{planes} + {at} * 4]",
                "tileloadd tmm4, [{weights} + {line}]",
                "tileloadd tmm6, [{at} + {plane}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{at} + {plane} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{at} + {plane} + 128]",
                "tdpbf16ps tmm2, tmm4, tmm6",
                "tileloadd tmm7, [{at} + {plane} + 192]",
                "tdpbf16ps tmm3, tmm4, tmm7",
                "add {weights}, {tile}",
                "add {offsets}, 8",
                "dec {count}",
                "jnz 2b",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 64], tmm1",
                "tilestored [{sums} + {row} + 128], tmm2",
                "tilestored [{sums} + {row} + 192], tmm3",
                at = out(reg) _,
                weights = inout(reg) weights => _,
                offsets = inout(reg) offsets.as_ptr() => _,
                count = inout(reg) offsets.len() => _,
                planes = in(reg) planes,
                plane = in(reg) 4 * plane,
                line = in(reg) 4 * self.pairs,
                tile = in(reg) 4 * self.tile(),
                row = in(reg) 256usize,
                sums = in(reg) sums.0.as_mut_ptr(),
                options(nostack),
            );
        }
    }
}

/// The registers for sums of weights: channels times outputs, from pixels of channels times pairs of places, and
/// gradients of pairs of places times outputs.
pub(super) struct ForWeights(Registers);

impl ForWeights {
    /// # Safety
    /// The processor has AMX and the process may use it; the thread does not have the registers yet.
    pub unsafe fn take() -> Self {
        // SAFETY: as promised by the caller.
        Self(unsafe { Registers::take(&Layout::FULL) })
    }

    /// Adds to the sums of three taps for sixteen channels and outputs. At `pixels` are those of each tap for the first
    /// channel and place, `plane` numbers before those of the next channel. `dy` has `blocks` tiles of 32 places, one
    /// after the other.
    ///
    /// # Safety
    /// All of these can be read, and the sums be written.
    pub unsafe fn add(
        &self,
        pixels: [*const u16; 3],
        plane: usize,
        dy: *const u32,
        blocks: usize,
        sums: [*mut f32; 3],
    ) {
        // SAFETY: as promised by the caller.
        unsafe {
            asm!(
                "tileloadd tmm0, [{sums0} + {line}]",
                "tileloadd tmm1, [{sums1} + {line}]",
                "tileloadd tmm2, [{sums2} + {line}]",
                "2:",
                "tileloadd tmm3, [{dy} + {line}]",
                "tileloadd tmm4, [{pixels0} + {plane}]",
                "tdpbf16ps tmm0, tmm4, tmm3",
                "tileloadd tmm5, [{pixels1} + {plane}]",
                "tdpbf16ps tmm1, tmm5, tmm3",
                "tileloadd tmm6, [{pixels2} + {plane}]",
                "tdpbf16ps tmm2, tmm6, tmm3",
                "add {dy}, 1024",
                "add {pixels0}, 64",
                "add {pixels1}, 64",
                "add {pixels2}, 64",
                "dec {blocks}",
                "jnz 2b",
                "tilestored [{sums0} + {line}], tmm0",
                "tilestored [{sums1} + {line}], tmm1",
                "tilestored [{sums2} + {line}], tmm2",
                pixels0 = inout(reg) pixels[0] => _,
                pixels1 = inout(reg) pixels[1] => _,
                pixels2 = inout(reg) pixels[2] => _,
                dy = inout(reg) dy => _,
                blocks = inout(reg) blocks => _,
                plane = in(reg) 2 * plane,
                line = in(reg) 64usize,
                sums0 = in(reg) sums[0],
                sums1 = in(reg) sums[1],
                sums2 = in(reg) sums[2],
                options(nostack),
            );
        }
    }
}
