#!/usr/bin/env bash
# The standard deviation of numjs squares its elements in their own type: that of bytes can be zero.
#
# Packages: numjs 0.16.1, its sharp replaced by 0.34.5 that needs no download (npm, Node.js 20).
# Expected: std returns "the standard deviation, a measure of the spread of a distribution"; of 0, 100 and 200 it is
#           81.65, whether these are bytes or not. tanh of 400 is 1.
# Seen:     the mean of the squares less the square of the mean is taken, and what comes out negative is 0. As bytes the
#           squares lose all above 255: 0, 100 and 200 have no spread at all, and 0, 1 and 16 one of 0. 16 bits
#           wrap likewise. In doubles the difference cancels: 1e8 + 1, + 2 and + 3 have 0. tanh divides two
#           exponentials and is NaN from 355 on, where the rest of the array stays right. softmax of bytes and of
#           integers is 0 everywhere, and of 1000 beside 1 it is NaN.
# Why it matters: pixels are read as bytes, and a deviation that is divided by becomes infinite values. The gate of a
#           recurrent network that saturates ends in NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/package.json" <<'JSON'
{"private": true, "dependencies": {"numjs": "0.16.1"}, "overrides": {"sharp": "0.34.5"}}
JSON
npm install --silent --no-fund --no-audit --prefix "$work"
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const nj = require("numjs");

for (const values of [[0, 100, 200], [0, 1, 16], [0, 5, 10], [100000001, 100000002, 100000003]]) {
  const seen = ["uint8", "int16", "float32", "float64"]
    .filter((type) => values[2] <= 200 || type === "float64")
    .map((type) => `${type} ${nj[type](values).std().toFixed(4)}`);
  console.log(`deviation of ${values.join(" ")}: ${seen.join(", ")}`);
}
console.log("tanh of -400 350 400:", nj.tanh([-400, 350, 400]).tolist().join(" "));
for (const [name, array] of [["doubles", [1, 2]], ["bytes", nj.uint8([1, 2])], ["doubles", [1000, 1]]]) {
  console.log(`softmax of ${name}, ${nj.array(array).tolist().join(" ")}:`, nj.softmax(array).tolist().join(" "));
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
deviation of 0 100 200: uint8 0.0000, int16 0.0000, float32 81.6497, float64 81.6497
deviation of 0 1 16: uint8 0.0000, int16 7.3182, float32 7.3182, float64 7.3182
deviation of 0 5 10: uint8 4.0825, int16 4.0825, float32 4.0825, float64 4.0825
deviation of 100000001 100000002 100000003: float64 0.0000
tanh of -400 350 400: -1 1 NaN
softmax of doubles, 1 2: 0.2689414213699951 0.7310585786300049
softmax of bytes, 1 2: 0 0
softmax of doubles, 1000 1: NaN 0
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
