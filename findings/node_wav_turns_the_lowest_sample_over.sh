#!/usr/bin/env bash
# node-wav reads the lowest sample of 24 bits as the highest one, and finds nothing in many files.
#
# Packages: node-wav 0.0.2 (npm, Node.js 20), the files by soundfile 0.14.0, numpy 2.4.6 (Python 3.11).
# Expected: -1.0 in a 24-bit file is -1.0, as it is in files of 16 and 32 bits, and as libsndfile reads it. A chunk of
#           odd size is followed by one byte that fills it up, and the next one begins after this (RIFF). A Buffer may
#           lie anywhere in the memory that it shares with others, as those of small files do in Node.js.
# Seen:     at 24 bits -8388608 comes out as +1.0000001, since the test for negative numbers leaves out the first of
#           them; node-wav's own encoder writes it for -1, so a round trip turns over each trough that touches the
#           limit. Silence written with 8 bits comes back as -1/128. With three bytes of another chunk before the sound,
#           filled up to four, the result is undefined, and no error. It is so, too, for a Buffer that begins further
#           into its memory than it is long: the length is taken for the place of the end.
# Why it matters: recordings that reach full scale are common, and each turned peak is a click twice as high as the
#           signal. Tools put titles in front of the sound. Short files depend on what was read before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" node-wav@0.0.2
cat > "$work/write.py" <<'PYTHON'
import struct
import sys

import numpy as np
import soundfile

for bits in (16, 24, 32):
    name = f"{sys.argv[1]}/{bits} bits.wav"
    soundfile.write(name, np.array([0, 0.5, -0.5, -1.0]), 8000, subtype=f"PCM_{bits}")
    print(f"{bits} bits, read by libsndfile:", *(f"{value:g}" for value in soundfile.read(name)[0]))
with open(f"{sys.argv[1]}/16 bits.wav", "rb") as file:
    written = file.read()
for size in (3, 4):
    chunk = b"note" + struct.pack("<I", size) + bytes(4)
    name = f"{sys.argv[1]}/after a chunk of {size}.wav"
    with open(name, "wb") as file:
        length = struct.pack("<I", len(written) - 8 + len(chunk))
        file.write(written[:4] + length + written[8:12] + chunk + written[12:])
    print(f"after a chunk of {size}, read by libsndfile:", *(f"{value:g}" for value in soundfile.read(name)[0]))
PYTHON
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { readFileSync } = require("fs");
const wav = require("node-wav");

const shown = (read) => (read ? Array.from(read.channelData[0], (value) => Number(value.toFixed(7))).join(" ") : read);
for (const name of ["16 bits", "24 bits", "32 bits", "after a chunk of 3", "after a chunk of 4"]) {
  const file = Uint8Array.from(readFileSync(`${__dirname}/${name}.wav`));
  console.log(`${name}, read by node-wav: ${shown(wav.decode(file))}`);
}
const shared = Buffer.concat([Buffer.alloc(4096), readFileSync(`${__dirname}/16 bits.wav`)]);
console.log(`16 bits, behind 4096 bytes in one Buffer: ${shown(wav.decode(shared.subarray(4096)))}`);
for (const bitDepth of [8, 16, 24, 32]) {
  const written = wav.encode([Float32Array.from([0, 0.5, -0.5, -1])], { sampleRate: 8000, bitDepth });
  console.log(`${bitDepth} bits, written and read by node-wav: ${shown(wav.decode(written))}`);
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
16 bits, read by libsndfile: 0 0.5 -0.5 -1
24 bits, read by libsndfile: 0 0.5 -0.5 -1
32 bits, read by libsndfile: 0 0.5 -0.5 -1
after a chunk of 3, read by libsndfile: 0 0.5 -0.5 -1
after a chunk of 4, read by libsndfile: 0 0.5 -0.5 -1
16 bits, read by node-wav: 0 0.5000153 -0.5 -1
24 bits, read by node-wav: 0 0.5000001 -0.5 1.0000001
32 bits, read by node-wav: 0 0.5 -0.5 -1
after a chunk of 3, read by node-wav: undefined
after a chunk of 4, read by node-wav: 0 0.5000153 -0.5 -1
16 bits, behind 4096 bytes in one Buffer: undefined
8 bits, written and read by node-wav: -0.0078125 0.496063 -0.5078125 -1
16 bits, written and read by node-wav: 0 0.4999847 -0.5 -1
24 bits, written and read by node-wav: 0 0.4999999 -0.5 1.0000001
32 bits, written and read by node-wav: 0 0.5 -0.5 -1
TEXT
{
    "$work/venv/bin/python" "$work/write.py" "$work"
    node --no-deprecation "$work/seen.cjs"
} | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
