#!/usr/bin/env bash
# zune-bmp reads the padding at the end of a row as the next pixels, if a pixel has 1 or 4 bits.
#
# Package: zune-bmp 0.5.2 (Rust), beside Pillow 12.0.0 (Python 3.11, x86-64).
# Expected: rows of a BMP file begin at multiples of four bytes, whatever the number of bits in a pixel, so what fills a
#           row up is passed over. With 8 bits a pixel it is.
# Seen:     with 1 and 4 bits only the first row of the file, which is the bottom of the picture, is right as soon as a
#           row is filled up by a whole byte: widths 8 and 33 below. Pillow reads all of the same files as they were
#           written. There is no error.
# Why it matters: scans, masks and drawings in black and white have 1 bit. A model trains on sheared pictures without a
#           word, and a picture that is a multiple of 32 wide, as in most tests of readers, looks well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==12.0.0
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
zune-bmp = "=0.5.2"
zune-core = "=0.5.1"
TOML
cat > "$work/src/main.rs" <<'RUST'
//! Writes the pixels that the decoder finds in `DIR/BITS-WIDTH.bmp` to `DIR/BITS-WIDTH.rgb`.
use zune_bmp::BmpDecoder;
use zune_core::bytestream::ZCursor;

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    for bits in [1, 4, 8] {
        for width in [8, 31, 32, 33] {
            let name = format!("{folder}/{bits}-{width}");
            let file = std::fs::read(format!("{name}.bmp")).unwrap();
            std::fs::write(format!("{name}.rgb"), BmpDecoder::new(ZCursor::new(&file)).decode().unwrap()).unwrap();
        }
    }
}
RUST
cat > "$work/files.py" <<'PYTHON'
import struct
import sys
from pathlib import Path

from PIL import Image

folder, task = Path(sys.argv[1]), sys.argv[2]
HEIGHT = 2


def is_light(row, x):
    return (x * 5 + row * 3) % 7 < 3


def bmp(bits, width):
    """A file with two colours in its palette. Its first row is the bottom of the picture."""
    stride = (width * bits + 31) // 32 * 4
    rows = bytearray(stride * HEIGHT)
    for row in range(HEIGHT):
        for x in range(width):
            if is_light(row, x):
                bit = x * bits
                rows[row * stride + bit // 8] |= 1 << (8 - bits - bit % 8)
    # Blue, green, red: a dark and a light colour.
    palette = bytes([40, 20, 0, 0, 180, 220, 255, 0])
    offset = 54 + len(palette)
    head = struct.pack("<2sIII", b"BM", offset + len(rows), 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, width, HEIGHT, 1, bits, 0, len(rows), 0, 0, 2, 0)
    return head + info + palette + rows


def right(pixels, width):
    """Whether each row, in the order of the file, has its pixels."""
    found = []
    for row in range(HEIGHT):
        line = pixels[(HEIGHT - 1 - row) * width * 3:][: width * 3 : 3]
        found.append(all((line[x] == 255) == is_light(row, x) for x in range(width)))
    return found


for bits in [1, 4, 8]:
    for width in [8, 31, 32, 33]:
        file = folder / f"{bits}-{width}.bmp"
        if task == "write":
            file.write_bytes(bmp(bits, width))
        else:
            decoded = file.with_suffix(".rgb").read_bytes()
            pillow = Image.open(file).convert("RGB").tobytes()
            print(f"{bits} bits, width {width}: zune-bmp {right(decoded, width)}, Pillow {right(pillow, width)}")
PYTHON
cat > "$work/expected" <<'TEXT'
1 bits, width 8: zune-bmp [True, False], Pillow [True, True]
1 bits, width 31: zune-bmp [True, True], Pillow [True, True]
1 bits, width 32: zune-bmp [True, True], Pillow [True, True]
1 bits, width 33: zune-bmp [True, False], Pillow [True, True]
4 bits, width 8: zune-bmp [True, True], Pillow [True, True]
4 bits, width 31: zune-bmp [True, True], Pillow [True, True]
4 bits, width 32: zune-bmp [True, True], Pillow [True, True]
4 bits, width 33: zune-bmp [True, False], Pillow [True, True]
8 bits, width 8: zune-bmp [True, True], Pillow [True, True]
8 bits, width 31: zune-bmp [True, True], Pillow [True, True]
8 bits, width 32: zune-bmp [True, True], Pillow [True, True]
8 bits, width 33: zune-bmp [True, True], Pillow [True, True]
TEXT
"$work/venv/bin/python" "$work/files.py" "$work" write
cargo run --quiet --manifest-path "$work/Cargo.toml" -- "$work"
"$work/venv/bin/python" "$work/files.py" "$work" compare | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
