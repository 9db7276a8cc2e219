#!/usr/bin/env bash
# netcdfjs reads what fills a netCDF variable up to four bytes as values, and signed bytes as unsigned ones.
#
# Packages: netcdfjs 4.0.0 (npm, Node.js 20), the files by netCDF4 1.7.5.1.post1, numpy 2.4.6 (Python 3.11).
# Expected: a variable has as many values as its dimensions say, each as netCDF's own library reads it. In the classic
#           format bytes are signed, and a variable or a record is filled up to a multiple of four bytes, but for the
#           records of a file with only one record variable.
# Seen:     the size in the header, which counts the filling, is divided by that of a number: five bytes give eight
#           values, five shorts give six; the rest is what fills them up, here netCDF's fill values 129 and -32767. In a
#           record variable it is at the end of each record. -1 in a byte is 255, and each byte is an array by itself.
#           With one record variable the records are sought four bytes apart: bytes come four to a record, the last
#           records are empty, and shorts end in a RangeError. Numbers of 32 and 64 bits are right.
# Why it matters: packed weather fields are shorts, masks and labels are bytes with -1 for "none". Flattened rows of a
#           training set shift by one value more with each record, if the width is odd, and "none" is class 255.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet netCDF4==1.7.5.1.post1 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" netcdfjs@4.0.0
cat > "$work/write.py" <<'PYTHON'
import sys

import netCDF4
import numpy as np


def write(name, unlimited, variables):
    with netCDF4.Dataset(f"{sys.argv[1]}/{name}.nc", "w", format="NETCDF3_CLASSIC") as file:
        for dimension, length in {"time": None if unlimited else 5, "x": 3}.items():
            file.createDimension(dimension, length)
        for variable, (dtype, dimensions) in variables.items():
            shape = [{"time": 5, "x": 3}[dimension] for dimension in dimensions]
            values = np.arange(np.prod(shape)).reshape(shape) - 1
            file.createVariable(variable, dtype, dimensions)[:] = values
            print(f"{name}, {variable}, written:", str(values.tolist()).replace(" ", ""))


write("fixed", False, {"bytes": ("i1", ["time"]), "shorts": ("i2", ["time"]), "ints": ("i4", ["time"])})
write("records", True, {"ints": ("i4", ["time", "x"]), "shorts": ("i2", ["time", "x"])})
write("one_of_bytes", True, {"bytes": ("i1", ["time"])})
write("one_of_shorts", True, {"shorts": ("i2", ["time"])})
PYTHON
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { readFileSync } = require("fs");
const { NetCDFReader } = require("netcdfjs");

for (const name of ["fixed", "records", "one_of_bytes", "one_of_shorts"]) {
  const reader = new NetCDFReader(Uint8Array.from(readFileSync(`${__dirname}/${name}.nc`)));
  for (const variable of reader.variables) {
    let seen;
    try {
      seen = JSON.stringify(reader.getDataVariable(variable));
    } catch (error) {
      seen = error.name;
    }
    console.log(`${name}, ${variable.name}, read: ${seen}`);
  }
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
fixed, bytes, written: [-1,0,1,2,3]
fixed, shorts, written: [-1,0,1,2,3]
fixed, ints, written: [-1,0,1,2,3]
records, ints, written: [[-1,0,1],[2,3,4],[5,6,7],[8,9,10],[11,12,13]]
records, shorts, written: [[-1,0,1],[2,3,4],[5,6,7],[8,9,10],[11,12,13]]
one_of_bytes, bytes, written: [-1,0,1,2,3]
one_of_shorts, shorts, written: [-1,0,1,2,3]
fixed, bytes, read: [[255],[0],[1],[2],[3],[129],[129],[129]]
fixed, shorts, read: [-1,0,1,2,3,-32767]
fixed, ints, read: [-1,0,1,2,3]
records, ints, read: [[-1,0,1],[2,3,4],[5,6,7],[8,9,10],[11,12,13]]
records, shorts, read: [[-1,0,1,-32767],[2,3,4,-32767],[5,6,7,-32767],[8,9,10,-32767],[11,12,13,-32767]]
one_of_bytes, bytes, read: [[255,0,1,2],[3],[],[],[]]
one_of_shorts, shorts, read: RangeError
TEXT
{
    "$work/venv/bin/python" "$work/write.py" "$work"
    node "$work/seen.cjs"
} | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
