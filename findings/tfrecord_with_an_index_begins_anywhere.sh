#!/usr/bin/env bash
# With an index file beside the records, the tfrecord package begins to read at a random record.
#
# Package: tfrecord 1.14.6, numpy 2.4.6, protobuf 7.36.2 (Python 3.11).
# Expected: records come in the order of the file, with an index as without. The manual recommends an index for every
#           file, says that it is needed to read with several workers, and describes shuffling as a matter of
#           `shuffle_queue_size`, which is not given here.
# Seen:     without an index the order is that of the file. With one, and no shard, a place is drawn from NumPy's
#           global generator: reading begins there, comes to the end and continues from the start of the file, and each
#           pass has its own place. Every record is read once. With `shard=(0, 1)`, which is all of the file, the order
#           is back.
# Why it matters: a number of records to skip says nothing about which ones were seen, so a run that resumes in the
#           middle of a pass repeats some and misses others. Reading draws from the generator that the program may use
#           itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tfrecord==1.14.6 numpy==2.4.6 protobuf==7.36.2
cat > "$work/seen.py" <<'PYTHON'
import sys

import numpy as np
from tfrecord import TFRecordWriter, tfrecord_loader
from tfrecord.tools.tfrecord2idx import create_index

path, index = f"{sys.argv[1]}/numbers.tfrecord", f"{sys.argv[1]}/numbers.index"
writer = TFRecordWriter(path)
for number in range(8):
    writer.write({"number": (number, "int")})
writer.close()
create_index(path, index)


def order(index=None, shard=None):
    return [int(record["number"][0]) for record in tfrecord_loader(path, index, {"number": "int"}, shard)]


np.random.seed(0)
print("no index:     ", order())
for _ in range(3):
    print("with an index:", order(index))
print("all as a shard:", order(index, (0, 1)))
passes = {tuple(order(index)) for _ in range(200)}
print("different orders in 200 passes:", len(passes))
PYTHON
cat > "$work/expected" <<'TEXT'
no index:      [0, 1, 2, 3, 4, 5, 6, 7]
with an index: [4, 5, 6, 7, 0, 1, 2, 3]
with an index: [7, 0, 1, 2, 3, 4, 5, 6]
with an index: [5, 6, 7, 0, 1, 2, 3, 4]
all as a shard: [0, 1, 2, 3, 4, 5, 6, 7]
different orders in 200 passes: 8
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
