//! Blocks of a product by AMX, the matrix unit of Intel's server processors since 2023.
//!
//! A tile register has sixteen lines of 64 bytes. `tdpbf16ps` multiplies a block of a left strip with one of a right
//! strip, and adds the products to sixteen by sixteen sums. Rust has no stable intrinsics for it, so the instructions
//! are in assembly.

use std::arch::asm;
use std::sync::OnceLock;

use super::strip::BLOCK;

/// Whether the processor has AMX, and the system lets this process use it.
pub(super) fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| has_instructions() && is_permitted())
}

/// The bits of `cpuid` for `amx-bf16` and `amx-tile`.
fn has_instructions() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0).eax;
    leaf >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & (1 << 22 | 1 << 24) == (1 << 22 | 1 << 24)
}

/// Asks Linux for the memory in which it keeps tiles when it switches threads. All threads of the process then have
/// them.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    /// `ARCH_REQ_XCOMP_PERM` of `asm/prctl.h`, and the number of the tiles' data.
    const REQUEST: libc::c_long = 0x1023;
    const TILES: libc::c_long = 18;
    // SAFETY: the call changes only what this process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILES) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The layout of the tile registers of a thread, as `ldtilecfg` reads it.
#[repr(C, align(64))]
pub(crate) struct Layout {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_line: [u16; 16],
    lines: [u8; 16],
}

impl Layout {
    /// All eight tiles with sixteen lines of 64 bytes.
    pub const FULL: Self = Self::new([(16, 64); 8]);

    /// Tiles with these numbers of lines, at most 16, and of bytes in a line, at most 64.
    pub const fn new(tiles: [(u8, u16); 8]) -> Self {
        let (mut lines, mut bytes_of_line) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < tiles.len() {
            (lines[tile], bytes_of_line[tile]) = tiles[tile];
            tile += 1;
        }
        Self { palette: 1, start_row: 0, reserved: [0; 14], bytes_of_line, lines }
    }
}

/// The tile registers of this thread, while it computes products.
pub(crate) struct Registers(());

impl Registers {
    /// # Safety
    /// The processor has AMX and the process may use it. The thread does not have the registers yet.
    pub unsafe fn take(layout: &Layout) -> Self {
        // SAFETY: as promised by the caller.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const *layout, options(nostack, readonly)) };
        Self(())
    }

    /// Computes 32 by 32 sums of products of two left strips with two right ones, and writes them to `sums`.
    ///
    /// # Safety
    /// The layout is [`Layout::FULL`], the strips have `blocks` blocks, and `sums` has room for 32 times 32 numbers.
    pub(super) unsafe fn multiply(&self, blocks: usize, left: [*const u32; 2], right: [*const u32; 2], sums: *mut f32) {
        // SAFETY: all addresses are within the strips and the sums.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{left0} + {line}]",
                "tileloadd tmm6, [{right0} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{right1} + {line}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{left1} + {line}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {left0}, {block}",
                "add {left1}, {block}",
                "add {right0}, {block}",
                "add {right1}, {block}",
                "dec {blocks}",
                "jnz 2b",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 64], tmm1",
                "tilestored [{lower} + {row}], tmm2",
                "tilestored [{lower} + {row} + 64], tmm3",
                left0 = inout(reg) left[0] => _,
                left1 = inout(reg) left[1] => _,
                right0 = inout(reg) right[0] => _,
                right1 = inout(reg) right[1] => _,
                blocks = inout(reg) blocks => _,
                line = in(reg) 64usize,
                row = in(reg) 128usize,
                sums = in(reg) sums,
                lower = in(reg) sums.add(16 * 32),
                block = const BLOCK * 4,
                options(nostack),
            );
        }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: the registers were taken, and are not used any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
