#!/usr/bin/env bash
# kaldiio takes a vector in a text archive for integers, if there is no point in its first number.
#
# Packages: kaldiio 2.18.1, kaldi_native_io 1.23.0, numpy 1.26.4 (Python 3.11).
# Expected: a text archive of vectors of floats, as Kaldi writes it, is read as floats, or as Kaldi itself reads it; and
#           what kaldiio writes it reads back.
# Seen:     Kaldi writes 1.0 as "1" and 0.00001 as "1e-05". kaldiio looks at the first number only: without a point in
#           it, the whole vector becomes int32 and all fractions are cut off, [1, 0.5, 0.25] to [1, 0, 0] and 1e-05 to
#           0. NumPy's warning about it is one of those that Python does not show by default. Its own file of
#           [1e-05, 0.5, 0.5] in float64 is read so as well. Matrices are read right. With numpy 2.4.6 each of these
#           vectors is an error instead.
# Why it matters: speaker embeddings, priors and weights of frames are vectors. One archive then has vectors that are
#           right beside others with only zeros, by what their first number is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kaldiio==2.18.1 kaldi_native_io==1.23.0 numpy==1.26.4
cat > "$work/seen.py" <<'PYTHON'
import sys

import kaldi_native_io
import kaldiio
import numpy as np

path = f"{sys.argv[1]}/vectors.ark"
vectors = [[0.5, 1, 0.25], [1, 0.5, 0.25], [0, 0.75, 0.25], [1e-05, 0.5, 0.5]]


def lines():
    with open(path) as file:
        return [line.split(maxsplit=1)[1].strip() for line in file]


def kaldis(rows):
    with kaldi_native_io.FloatVectorWriter(f"ark,t:{path}") as writer:
        for number, row in enumerate(rows):
            writer[str(number)] = np.array(row, np.float32)
    with kaldi_native_io.SequentialFloatVectorReader(f"ark:{path}") as reader:
        return [row.copy() for _, row in reader]


def shown(array):
    return " ".join(f"{number:g}" for number in array.ravel())


for first, (_, row), line in zip(kaldis(vectors), kaldiio.load_ark(path), lines()):
    print(f"Kaldi's file {line}: Kaldi reads {shown(first)}; kaldiio reads {shown(row)}, {row.dtype}")
kaldiio.save_ark(path, {str(n): np.array(row) for n, row in enumerate(vectors)}, text=True)
for (_, row), line in zip(kaldiio.load_ark(path), lines()):
    print(f"its own file {line}: kaldiio reads {shown(row)}, {row.dtype}")
with kaldi_native_io.FloatMatrixWriter(f"ark,t:{path}") as writer:
    writer["0"] = np.array([vectors[1]], np.float32)
for _, matrix in kaldiio.load_ark(path):
    print(f"Kaldi's file of a matrix: kaldiio reads {shown(matrix)}, {matrix.dtype}")
PYTHON
cat > "$work/expected" <<'TEXT'
Kaldi's file [ 0.5 1 0.25 ]: Kaldi reads 0.5 1 0.25; kaldiio reads 0.5 1 0.25, float32
Kaldi's file [ 1 0.5 0.25 ]: Kaldi reads 1 0.5 0.25; kaldiio reads 1 0 0, int32
Kaldi's file [ 0 0.75 0.25 ]: Kaldi reads 0 0.75 0.25; kaldiio reads 0 0 0, int32
Kaldi's file [ 1e-05 0.5 0.5 ]: Kaldi reads 1e-05 0.5 0.5; kaldiio reads 0 0 0, int32
its own file [ 0.5 1.0 0.25 ]: kaldiio reads 0.5 1 0.25, float32
its own file [ 1.0 0.5 0.25 ]: kaldiio reads 1 0.5 0.25, float32
its own file [ 0.0 0.75 0.25 ]: kaldiio reads 0 0.75 0.25, float32
its own file [ 1e-05 0.5 0.5 ]: kaldiio reads 0 0 0, int32
Kaldi's file of a matrix: kaldiio reads 1 0.5 0.25, float32
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
