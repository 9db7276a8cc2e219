#!/usr/bin/env bash
# parquetjs reads a column of booleans in Parquet's run-length encoding as false in every row.
#
# Packages: @dsnp/parquetjs 1.8.8 (npm, the newest for Node.js 20), the files by pyarrow 26.0.1 (Python 3.11).
# Expected: what pyarrow wrote, or an error, as for the encodings that are not known here. The manual names run lengths
#           as an encoding for BOOLEAN, INT32 and INT64.
# Seen:     every value that is not null is false, in pages of both versions and without a message. pyarrow chooses this
#           encoding for booleans by itself as soon as it is asked for pages of version 2.0. A file that parquetjs wrote
#           with it comes back right through the same reader: there the schema has the number of bits, which others do
#           not write. Plain booleans are read right. Beside it: unsigned numbers of 32 and 64 bits come back as
#           negative ones from the middle of their range on.
# Why it matters: labels, masks and "is this row for training" are booleans. With the newer pages the data set has one
#           class, and no row is for training.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pyarrow==26.0.1
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" @dsnp/parquetjs@1.8.8
cat > "$work/write.py" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

booleans = pa.array([True, False, True, None, True] * 2)
cases = {
    "pages 1.0": {"data_page_version": "1.0"},
    "pages 1.0, RLE": {"data_page_version": "1.0", "column_encoding": {"value": "RLE"}},
    "pages 2.0": {"data_page_version": "2.0"},
    "pages 2.0, PLAIN": {"data_page_version": "2.0", "column_encoding": {"value": "PLAIN"}},
    "pages 2.0, RLE": {"data_page_version": "2.0", "column_encoding": {"value": "RLE"}},
}
for name, options in cases.items():
    pq.write_table(pa.table({"value": booleans}), f"{sys.argv[1]}/{name}.parquet", use_dictionary=False, **options)
numbers = {
    "unsigned 32 bits": pa.array([1, 2**31, 2**32 - 1], pa.uint32()),
    "unsigned 64 bits": pa.array([1, 2**63, 2**64 - 1], pa.uint64()),
}
for name, array in numbers.items():
    pq.write_table(pa.table({"value": array}), f"{sys.argv[1]}/{name}.parquet")
deltas = {"use_dictionary": False, "column_encoding": {"value": "DELTA_BINARY_PACKED"}}
pq.write_table(pa.table({"value": pa.array([1, 2], pa.int32())}), f"{sys.argv[1]}/deltas.parquet", **deltas)
PYTHON
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { readdirSync } = require("fs");
const { ParquetReader, ParquetSchema, ParquetWriter } = require("@dsnp/parquetjs");

async function write(path) {
  const value = { type: "BOOLEAN", encoding: "RLE", typeLength: 1, optional: true };
  const writer = await ParquetWriter.openFile(new ParquetSchema({ value }), path);
  for (const value of [true, false, true, null, true, true, false, true, null, true]) {
    await writer.appendRow({ value });
  }
  await writer.close();
}

async function read(path) {
  const reader = await ParquetReader.openFile(path);
  const cursor = reader.getCursor();
  const values = [];
  for (let row = await cursor.next(); row; row = await cursor.next()) {
    values.push(row.value);
  }
  await reader.close();
  return values.map(String).join(" ");
}

(async () => {
  await write(`${__dirname}/its own, RLE.parquet`);
  for (const name of readdirSync(__dirname).filter((name) => name.endsWith(".parquet")).sort()) {
    const seen = await read(`${__dirname}/${name}`).catch((error) => error.message);
    console.log(`${name.replace(".parquet", "")}: ${seen}`);
  }
})();
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
deltas: invalid encoding: DELTA_BINARY_PACKED
its own, RLE: true false true null true true false true null true
pages 1.0, RLE: false false false null false false false false null false
pages 1.0: true false true null true true false true null true
pages 2.0, PLAIN: true false true null true true false true null true
pages 2.0, RLE: false false false null false false false false null false
pages 2.0: false false false null false false false false null false
unsigned 32 bits: 1 -2147483648 -1
unsigned 64 bits: 1 -9223372036854775808 -1
TEXT
"$work/venv/bin/python" "$work/write.py" "$work"
node "$work/seen.cjs" 2> "$work/messages" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
