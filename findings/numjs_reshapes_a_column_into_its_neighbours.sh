#!/usr/bin/env bash
# numjs reshapes a column, or every second element, into elements that stand beside them, and multiplies those.
#
# Packages: numjs 0.16.1, its sharp replaced by 0.34.5 that needs no download (npm, Node.js 20).
# Expected: reshape keeps the elements and their order, also those of a view, "without changing its data"; the inner
#           product of a column is that of its elements, as in NumPy, whose functions these are.
# Seen:     a view of one dimension is reshaped as if its elements were next to each other: the column 1 5 9 becomes
#           1 2 3. A flipped vector ends outside its memory and is undefined. Vectors are reshaped before each product,
#           so the column times itself is 14 instead of 107, and column times matrix and matrix times column are wrong
#           as well. Flattening and views of two dimensions are right, and nothing is raised.
# Why it matters: a column is a feature or a target, a flip is augmentation, and each product with one of them is wrong.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/package.json" <<'JSON'
{"private": true, "dependencies": {"numjs": "0.16.1"}, "overrides": {"sharp": "0.34.5"}}
JSON
npm install --silent --no-fund --no-audit --prefix "$work"
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const nj = require("numjs");

const table = nj.arange(12).reshape(3, 4);
const column = table.pick(null, 1);
const second = nj.arange(8).slice([0, 8, 2]);
const show = (name, array) => console.log(`${name}: ${JSON.stringify(array.tolist())}`);
show("column", column);
show("column as 3 x 1", column.reshape(3, 1));
show("column times column, 1 + 25 + 81", nj.dot(column, column));
show("column times table, 85 97 109 121", nj.dot(column, table));
show("every second", second);
show("every second as 2 x 2", second.reshape(2, 2));
show("table times every second, 28 76 124", nj.dot(table, second));
show("flipped as 2 x 2", nj.flip(nj.array([1, 2, 3, 4]), 0).reshape(2, 2));
show("table turned, as 3 x 4", table.T.reshape(3, 4));
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
column: [1,5,9]
column as 3 x 1: [[1],[2],[3]]
column times column, 1 + 25 + 81: [14]
column times table, 85 97 109 121: [32,38,44,50]
every second: [0,2,4,6]
every second as 2 x 2: [[0,1],[2,3]]
table times every second, 28 76 124: [14,38,62]
flipped as 2 x 2: [[4,null],[null,null]]
table turned, as 3 x 4: [[0,4,8,1],[5,9,2,6],[10,3,7,11]]
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
