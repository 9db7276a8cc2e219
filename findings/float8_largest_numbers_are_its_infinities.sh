#!/usr/bin/env bash
# float8 calls the largest numbers of both 8-bit formats infinite, and the real infinity of one of them finite.
#
# Package: float8 0.7.0, the 8-bit numbers of Candle 0.11 (stable Rust).
# Expected: E4M3 reaches 448 and has no infinity; E5M2 reaches 57344, and 7c is infinity, 7d to 7f are NaN (OCP 8-bit
#           floating point, whose conversions these are). A value too large gives infinity, "±∞ will result"; min and
#           max return the other one "if one of the arguments is NaN"; classify knows zero and NaN.
# Seen:     the constants are one step too low: INFINITY is 448 and 57344, MAX is 416 and 49152. So 448 is infinite
#           to is_infinite, and 448 as f32. In E5M2 the bits 7c are infinity as f32, and finite to is_finite; the NaNs
#           7d and 7f are finite as well, no NaN, and equal to themselves. Infinity becomes the largest number, also
#           in E5M2, so bits read from a file and converted there and back are others. min and max return NaN if it
#           comes first. classify says subnormal for zero and for NaN. The rounding is right for all numbers.
# Why it matters: "is anything infinite or NaN" is the check for a step to skip and for a bad checkpoint. Here a weight
#           scaled to the full range, as is usual, fails it, and a real overflow in E5M2 passes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
float8 = "=0.7.0"
half = "=2.7.1"
TOML
cat > "$work/src/main.rs" <<'RUST'
use float8::{F8E4M3, F8E5M2};

macro_rules! show {
    ($Float:ident, $bits:expr) => {
        println!(
            "{}: MAX {}, INFINITY {}",
            stringify!($Float),
            $Float::MAX.to_f32(),
            $Float::INFINITY.to_f32()
        );
        for bits in $bits {
            let float = $Float::from_bits(bits);
            let number = float.to_f32();
            println!(
                " {bits:02x}: {number}, finite {}, infinite {}, NaN {}, {:?}, equal to itself {}, written again {:02x}",
                float.is_finite(),
                float.is_infinite(),
                float.is_nan(),
                float.classify(),
                float == float,
                $Float::from_f32(number).to_bits()
            );
        }
        let (one, nan) = ($Float::from_f32(1.0), $Float::NAN);
        println!("  largest of 1 and NaN {}, of NaN and 1 {}", one.max(nan).to_f32(), nan.max(one).to_f32());
        println!("  from infinity {}", $Float::from_f32(f32::INFINITY).to_f32());
    };
}

fn main() {
    show!(F8E4M3, [0x00, 0x38, 0x7d, 0x7e, 0x7f]);
    show!(F8E5M2, [0x00, 0x3c, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f]);
}
RUST
cat > "$work/expected" <<'TEXT'
F8E4M3: MAX 416, INFINITY 448
 00: 0, finite true, infinite false, NaN false, Subnormal, equal to itself true, written again 00
 38: 1, finite true, infinite false, NaN false, Normal, equal to itself true, written again 38
 7d: 416, finite true, infinite false, NaN false, Normal, equal to itself true, written again 7d
 7e: 448, finite false, infinite true, NaN false, Infinite, equal to itself true, written again 7e
 7f: NaN, finite false, infinite false, NaN true, Subnormal, equal to itself false, written again 7f
  largest of 1 and NaN 1, of NaN and 1 NaN
  from infinity 448
F8E5M2: MAX 49152, INFINITY 57344
 00: 0, finite true, infinite false, NaN false, Subnormal, equal to itself true, written again 00
 3c: 1, finite true, infinite false, NaN false, Normal, equal to itself true, written again 3c
 7a: 49152, finite true, infinite false, NaN false, Normal, equal to itself true, written again 7a
 7b: 57344, finite false, infinite true, NaN false, Infinite, equal to itself true, written again 7b
 7c: inf, finite true, infinite false, NaN false, Normal, equal to itself true, written again 7b
 7d: NaN, finite true, infinite false, NaN false, Normal, equal to itself true, written again 7f
 7e: NaN, finite false, infinite false, NaN true, Subnormal, equal to itself false, written again 7f
 7f: NaN, finite true, infinite false, NaN false, Normal, equal to itself true, written again 7f
  largest of 1 and NaN 1, of NaN and 1 NaN
  from infinity 57344
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
