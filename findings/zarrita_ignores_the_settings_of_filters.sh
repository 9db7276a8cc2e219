#!/usr/bin/env bash
# zarrita undoes the filters of a Zarr array by the type of the array, and not by what the filters were told.
#
# Packages: zarrita 0.7.5 (npm, Node.js 20), the arrays by zarr 3.1.6, numcodecs 0.16.6, numpy 2.4.6 (Python 3.11).
# Expected: an array of format 2 with `Shuffle` or `Delta` is read as zarr reads it, by the settings that stand beside
#           the name of the filter, or is refused as `Quantize` and `PackBits` are.
# Seen:     both settings that say how the bytes lie are passed over. `Shuffle` takes elements of the size of a number;
#           numcodecs' default is 4 bytes for every type, so only 32-bit numbers come back, and 16 and 64 bits are other
#           numbers. `Delta` with an `astype` keeps the differences in a smaller type; they are read as numbers of the
#           array's type, with zeros after the end. Shapes and types are right; nothing is raised. With an element size
#           that fits, and without `astype`, all is read well.
# Why it matters: `Delta` with `astype` is there to make sorted token offsets and labels small. A page that shows or
#           trains on such an array sees plausible zeros and noise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet zarr==3.1.6 numcodecs==0.16.6 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" zarrita@0.7.5
cat > "$work/write.py" <<'PYTHON'
import sys

import numpy as np
import zarr
from numcodecs import Delta, PackBits, Quantize, Shuffle

group = zarr.open_group(f"{sys.argv[1]}/arrays", mode="w", zarr_format=2)
cases = {
    "shuffle-default": ("i2 i4 i8 f4 f8", lambda dtype: Shuffle()),
    "shuffle-fitting": ("i2 i4 i8 f4 f8", lambda dtype: Shuffle(elementsize=int(dtype[1]))),
    "delta": ("i2 i4 i8", lambda dtype: Delta(f"<{dtype}")),
    "delta-as-i1": ("i2 i4 i8", lambda dtype: Delta(f"<{dtype}", "<i1")),
    "quantize": ("f4", lambda dtype: Quantize(3, f"<{dtype}")),
    "packbits": ("b1", lambda dtype: PackBits()),
}
for name, (dtypes, make) in cases.items():
    for dtype in dtypes.split():
        values = (np.arange(8) // 2).astype(dtype)
        filters = [make(dtype)]
        array = group.create_array(f"{name}-{dtype}", shape=8, chunks=8, dtype=dtype, filters=filters, compressors=None)
        array[:] = values
        assert np.array_equal(array[:], values)
PYTHON
cat > "$work/seen.mjs" <<'JAVASCRIPT'
import { existsSync, readdirSync, readFileSync } from "fs";
import * as zarr from "zarrita";

const folder = `${import.meta.dirname}/arrays`;
const store = {
  async get(key) {
    return existsSync(folder + key) ? new Uint8Array(readFileSync(folder + key)) : undefined;
  },
};
for (const name of readdirSync(folder).filter((name) => !name.startsWith(".")).sort()) {
  try {
    const array = await zarr.open.v2(zarr.root(store).resolve(name), { kind: "array" });
    const { data } = await zarr.get(array);
    console.log(`${name}: ${array.dtype} ${data.join(" ")}`);
  } catch (error) {
    console.log(`${name}: ${error.message}`);
  }
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
delta-as-i1-i2: int16 0 1 2 3 0 0 0 0
delta-as-i1-i4: int32 65536 131073 0 0 0 0 0 0
delta-as-i1-i8: int64 281479271743488 0 0 0 0 0 0 0
delta-i2: int16 0 0 1 1 2 2 3 3
delta-i4: int32 0 0 1 1 2 2 3 3
delta-i8: int64 0 0 1 1 2 2 3 3
packbits-b1: Unknown codec: numcodecs.packbits
quantize-f4: Unknown codec: numcodecs.quantize
shuffle-default-f4: float32 0 0 1 1 2 2 3 3
shuffle-default-f8: float64 0 2 0 2 0 31.034912109375 0 31.034912109375
shuffle-default-i2: int16 0 257 514 771 0 0 0 0
shuffle-default-i4: int32 0 0 1 1 2 2 3 3
shuffle-default-i8: int64 512 0 512 0 769 0 769 0
shuffle-fitting-f4: float32 0 0 1 1 2 2 3 3
shuffle-fitting-f8: float64 0 0 1 1 2 2 3 3
shuffle-fitting-i2: int16 0 0 1 1 2 2 3 3
shuffle-fitting-i4: int32 0 0 1 1 2 2 3 3
shuffle-fitting-i8: int64 0 0 1 1 2 2 3 3
TEXT
"$work/venv/bin/python" "$work/write.py" "$work" 2> "$work/messages"
node "$work/seen.mjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
