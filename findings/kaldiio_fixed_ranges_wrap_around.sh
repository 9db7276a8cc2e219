#!/usr/bin/env bash
# kaldiio compresses a value just outside a fixed range to the other end of it.
#
# Packages: kaldiio 2.18.1, kaldi_native_io 1.23.0, numpy 2.4.6 (Python 3.11, x86-64).
# Expected: the three methods of compression with a fixed range (4: 16-bit integers, 6: 0 to 255, 7: 0 to 1) give what
#           Kaldi's own code gives, as the methods do that measure the range: there the files are the same bytes.
# Seen:     within the range the files are the same bytes too. Outside it Kaldi stores the nearer end, and kaldiio cuts
#           the number to its lowest 8 or 16 bits: 1.002 becomes 0, -2 becomes 255, and 32768 becomes -32768. No error
#           or warning. The file is a valid one, so Kaldi reads the same wrong numbers.
# Why it matters: probabilities and masks that were smoothed, or interpolated, overshoot 1 by a little. Where the frame
#           is most certain, the stored number is 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kaldiio==2.18.1 kaldi_native_io==1.23.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import sys
from pathlib import Path

import kaldi_native_io
import kaldiio
import numpy as np

first, second = Path(sys.argv[1], "kaldi.ark"), Path(sys.argv[1], "kaldiio.ark")


def written(array, method):
    with kaldi_native_io.CompressedMatrixWriter(f"ark:{first}") as writer:
        writer.write("a", array, kaldi_native_io.CompressionMethod(method))
    kaldiio.save_ark(str(second), {"a": array}, compression_method=method)
    return first.read_bytes() == second.read_bytes()


def read(path):
    with kaldi_native_io.SequentialFloatMatrixReader(f"ark:{path}") as reader:
        return " ".join(f"{number:g}" for _, matrix in reader for number in np.round(matrix[0], 2))


random = np.random.default_rng(0).random((50, 6)).astype(np.float32)
inside = {2: random, 3: random, 5: random, 4: np.floor(65535 * random) - 32768, 6: np.floor(255 * random), 7: random}
for method, array in inside.items():
    print(f"method {method}, inside the range: the same bytes", written(array, method))
outside = {4: [-40000, -32768, 32767, 32768], 6: [-2, 0, 255, 256, 300], 7: [-0.1, 0, 0.25, 1, 1.002, 1.5]}
for method, row in outside.items():
    written(np.array([row], np.float32), method)
    numbers = " ".join(f"{number:g}" for number in row)
    print(f"method {method}, {numbers}: Kaldi stored {read(first)}; kaldiio stored {read(second)}")
PYTHON
cat > "$work/expected" <<'TEXT'
method 2, inside the range: the same bytes True
method 3, inside the range: the same bytes True
method 5, inside the range: the same bytes True
method 4, inside the range: the same bytes True
method 6, inside the range: the same bytes True
method 7, inside the range: the same bytes True
method 4, -40000 -32768 32767 32768: Kaldi stored -32768 -32768 32767 32767; kaldiio stored 25537 -32768 32767 -32768
method 6, -2 0 255 256 300: Kaldi stored 0 0 255 255 255; kaldiio stored 255 0 255 0 44
method 7, -0.1 0 0.25 1 1.002 1.5: Kaldi stored 0 0 0.25 1 1 1; kaldiio stored 0.91 0 0.25 1 0 0.49
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
