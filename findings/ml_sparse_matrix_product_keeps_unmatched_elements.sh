#!/usr/bin/env bash
# The elementwise product of two matrices of ml-sparse-matrix keeps what stands where the other matrix has a zero.
#
# Package: ml-sparse-matrix 3.1.0 (npm, Node.js 20).
# Expected: 2 times 0 is 0: a matrix times a mask of ones and zeros is what the mask lets through. The static functions
#           do the same with two matrices as the methods do with one.
# Seen:     the product goes through the nonzero elements of the second matrix only, so an element of the first whose
#           partner is 0 stays as it is: a mask hides nothing. "and" is the same, with 2 & 0 as 2; division by such a
#           zero leaves the element too. Static functions take a matrix for a number: the product is NaN, and the sum
#           is text, "1[object Object]". Sums, differences and matrix products are right, and all this without an error.
# Why it matters: elementwise products are how dropout, pruning and attention masks are applied. A pruned layer keeps
#           all its weights, and the result has the right shape and numbers that look right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" ml-sparse-matrix@3.1.0
cat > "$work/seen.mjs" <<'JAVASCRIPT'
import { SparseMatrix } from "ml-sparse-matrix";

const weights = [[1, 2, 0], [3, 4, 5]];
const mask = [[1, 0, 0], [0, 1, 0]];
const sparse = (rows) => new SparseMatrix(rows);
const show = (name, matrix) => console.log(`${name}: ${matrix.to2DArray().map((row) => row.join(" ")).join(" | ")}`);
show("weights", sparse(weights));
show("mask", sparse(mask));
show("weights plus mask", sparse(weights).add(sparse(mask)));
show("weights times mask", sparse(weights).mul(sparse(mask)));
show("mask times weights", sparse(mask).mul(sparse(weights)));
show("weights and mask", sparse(weights).and(sparse(mask)));
show("weights divided by mask", sparse(weights).div(sparse(mask)));
show("static, weights plus mask", SparseMatrix.add(sparse(weights), sparse(mask)));
show("static, weights times mask", SparseMatrix.mul(sparse(weights), sparse(mask)));
show("matrix product with the mask", sparse(weights).mmul(sparse(mask).transpose()));
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
weights: 1 2 0 | 3 4 5
mask: 1 0 0 | 0 1 0
weights plus mask: 2 2 0 | 3 5 5
weights times mask: 1 2 0 | 3 4 5
mask times weights: 1 0 0 | 0 4 0
weights and mask: 1 2 0 | 3 0 5
weights divided by mask: 1 2 0 | 3 4 5
static, weights plus mask: 1[object Object] 2[object Object] 0 | 3[object Object] 4[object Object] 5[object Object]
static, weights times mask: NaN NaN 0 | NaN NaN NaN
matrix product with the mask: 1 2 | 3 4
TEXT
node "$work/seen.mjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
