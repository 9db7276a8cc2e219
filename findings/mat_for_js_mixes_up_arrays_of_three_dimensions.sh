#!/usr/bin/env bash
# mat-for-js mixes up a MATLAB array of three or more dimensions: elements come twice, and others never.
#
# Packages: mat-for-js 1.1.0 (npm, Node.js 20), the files by scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Expected: an array in a Level 5 MAT-file comes back as nested lists of its shape, each element at its own place, as
#           matrices do; or it is refused.
# Seen:     matrices are right. From three dimensions on the shape is right too, and the elements are not: in 2 x 2 x 2
#           two are there twice and two are missing; 8 x 8 x 3 x 5, five small pictures in colour, has 92 of its 960
#           different numbers, and 64 of all places are right. The type does not matter, nor compression. Nothing is
#           raised, and the manual, which speaks of arrays of characters in several dimensions, names no limit.
# Why it matters: pictures for training are shipped this way, as height x width x colour x number. What is read has the
#           right size and the right range of values, and is not the pictures.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" mat-for-js@1.1.0
cat > "$work/write.py" <<'PYTHON'
import sys

import numpy as np
from scipy.io import savemat

for shape in [(2, 3), (5, 4), (1, 1, 4), (2, 2, 2), (2, 3, 4), (4, 3, 2), (3, 3, 3), (2, 3, 1, 2), (8, 8, 3, 5)]:
    array = np.arange(np.prod(shape), dtype="f8").reshape(shape)
    savemat(f"{sys.argv[1]}/{' x '.join(map(str, shape))}.mat", {"array": array})
PYTHON
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { readdirSync, readFileSync } = require("fs");
const { read } = require("mat-for-js");

const shape = (list) => (Array.isArray(list) ? [list.length, ...shape(list[0])] : []);
for (const name of readdirSync(__dirname).filter((name) => name.endsWith(".mat")).sort()) {
  const { array } = read(Uint8Array.from(readFileSync(`${__dirname}/${name}`)).buffer).data;
  const elements = array.flat(Infinity);
  const placed = elements.filter((element, place) => element === place).length;
  const shown = elements.length <= 8 ? `: ${elements.join(" ")}` : "";
  const right = `${placed} of ${elements.length} at their places, ${new Set(elements).size} different ones`;
  console.log(`${name.replace(".mat", "")}: read as ${shape(array).join(" x ")}, ${right}${shown}`);
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
1 x 1 x 4: read as 1 x 1 x 4, 4 of 4 at their places, 4 different ones: 0 1 2 3
2 x 2 x 2: read as 2 x 2 x 2, 4 of 8 at their places, 6 different ones: 0 2 2 1 4 6 6 5
2 x 3 x 1 x 2: read as 2 x 3 x 1 x 2, 6 of 12 at their places, 7 different ones
2 x 3 x 4: read as 2 x 3 x 4, 6 of 24 at their places, 15 different ones
2 x 3: read as 2 x 3, 6 of 6 at their places, 6 different ones: 0 1 2 3 4 5
3 x 3 x 3: read as 3 x 3 x 3, 9 of 27 at their places, 15 different ones
4 x 3 x 2: read as 4 x 3 x 2, 12 of 24 at their places, 15 different ones
5 x 4: read as 5 x 4, 20 of 20 at their places, 20 different ones
8 x 8 x 3 x 5: read as 8 x 8 x 3 x 5, 64 of 960 at their places, 92 different ones
TEXT
"$work/venv/bin/python" "$work/write.py" "$work"
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
