#!/usr/bin/env bash
# flax writes an array of big-endian numbers with the bytes as they are, and reads them as little-endian numbers.
#
# Package: flax 0.12.8, numpy 2.4.6, jax 0.10.2 (Python 3.11, x86-64).
# Expected: numbers come back as they were, converted to one byte order or with the order written beside them; or the
#           array is refused.
# Seen:     the file names the dtype without its order, so 1.0 comes back as 4.6e-41, without an error or a warning. An
#           integer 1 comes back as 16777216. `from_bytes` with a target of the right shape and dtype does not notice.
# Why it matters: arrays of HDF5, FITS, netCDF and old NumPy files are often big-endian, and keep that order through
#           arithmetic in place. Weights that begin in such a file train well in NumPy, and are noise after a restore.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet flax==0.12.8 numpy==2.4.6 jax==0.10.2 jaxlib==0.10.2
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
from flax import serialization

for dtype, number in [(">f4", 1.0), (">f8", 1.0), (">i4", 1), ("<f4", 1.0)]:
    array = np.full(2, number, dtype)
    back = serialization.from_bytes({"w": np.zeros(2, array.dtype)}, serialization.to_bytes({"w": array}))["w"]
    print(dtype, array.tolist(), "->", back.dtype, [float(f"{value:.3g}") for value in back.tolist()])
PYTHON
cat > "$work/expected" <<'TEXT'
>f4 [1.0, 1.0] -> float32 [4.6e-41, 4.6e-41]
>f8 [1.0, 1.0] -> float64 [3.04e-319, 3.04e-319]
>i4 [1, 1] -> int32 [16800000.0, 16800000.0]
<f4 [1.0, 1.0] -> float32 [1.0, 1.0]
TEXT
"$work/venv/bin/python" "$work/seen.py" 2> "$work/warnings" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
