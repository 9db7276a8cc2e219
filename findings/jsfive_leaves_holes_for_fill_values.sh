#!/usr/bin/env bash
# jsfive has nothing where a part of an HDF5 data set was never written; the file has a fill value for it.
#
# Packages: jsfive 0.4.2 (npm), the file by h5py 3.16.0, numpy 2.4.6 (Python 3.11).
# Expected: a chunk, or a whole data set, that was never written has the fill value which the file names, as HDF5
#           itself reads it; or the data set is refused.
# Seen:     `value` is an array with holes there, in number as long as it should be. Nothing is raised. What is made of
#           a hole depends on what comes next: `reduce` passes over it, a `Float32Array` has NaN, an `Int32Array` has
#           0, and JSON has null. Where a chunk is written only in part, its remaining elements are right.
# Why it matters: label files are made at their full size with -1 for "no label" and filled bit by bit. As an
#           `Int32Array` all that is not labelled yet is of class 0, and a mean over the numbers divides by too many of
#           them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet h5py==3.16.0 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" jsfive@0.4.2
cat > "$work/write.py" <<'PYTHON'
import sys

import h5py

with h5py.File(sys.argv[1], "w") as file:
    labels = file.create_dataset("labels", (8,), "i4", chunks=(2,), fillvalue=-1)
    labels[2:5] = [3, 1, 4]
    file.create_dataset("untouched", (2,), "f4", fillvalue=0.5)
    print("HDF5:", {name: file[name][()].tolist() for name in file})
PYTHON
cat > "$work/read.mjs" <<'JAVASCRIPT'
import { readFileSync } from "node:fs";
import { File } from "jsfive";

const bytes = readFileSync(process.argv[2]);
const file = new File(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "labels.h5");
for (const name of file.keys) {
    const value = file.get(name).value;
    console.log(`${name}: ${value.length} elements, as JSON`, JSON.stringify(value));
    console.log("  as Float32Array", [...Float32Array.from(value)].join(" "));
    console.log("  as Int32Array", [...Int32Array.from(value)].join(" "));
    console.log("  sum", value.reduce((sum, number) => sum + number, 0));
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
HDF5: {'labels': [-1, -1, 3, 1, 4, -1, -1, -1], 'untouched': [0.5, 0.5]}
labels: 8 elements, as JSON [null,null,3,1,4,-1,null,null]
  as Float32Array NaN NaN 3 1 4 -1 NaN NaN
  as Int32Array 0 0 3 1 4 -1 0 0
  sum 7
untouched: 2 elements, as JSON [null,null]
  as Float32Array NaN NaN
  as Int32Array 0 0
  sum 0
TEXT
{
    "$work/venv/bin/python" "$work/write.py" "$work/labels.h5"
    node "$work/read.mjs" "$work/labels.h5"
} | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
