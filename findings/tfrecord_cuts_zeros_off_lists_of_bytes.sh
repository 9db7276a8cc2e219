#!/usr/bin/env bash
# The tfrecord package cuts zero bytes off the end of each value, if a feature has two or more of them.
#
# Package: tfrecord 1.14.6, numpy 2.4.6, protobuf 7.36.2 (Python 3.11).
# Expected: a feature of bytes holds any bytes, and each value of a list comes back as it was written, as it does where
#           the list has one value.
# Seen:     a list of two or more becomes a NumPy array of byte strings of fixed length, which has no way to tell zeros
#           at the end from its own filling: they are gone, and a value of only zeros is empty. The file is right; it
#           is the reader that loses them. No error or warning, and a description of the features changes nothing.
# Why it matters: lists of bytes hold the tokens, masks or frames of one example. A document in 16-bit tokens that ends
#           with one below 256, or with padding, loses bytes: `np.frombuffer` refuses one such value and makes fewer
#           numbers of another; a mask of only zeros comes back empty.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tfrecord==1.14.6 numpy==2.4.6 protobuf==7.36.2
cat > "$work/seen.py" <<'PYTHON'
import sys

import numpy as np
from tfrecord import TFRecordWriter, example_pb2, tfrecord_loader
from tfrecord.reader import tfrecord_iterator

path = f"{sys.argv[1]}/tokens.tfrecord"
documents = [np.array(tokens, "<u2").tobytes() for tokens in ([300, 7], [512, 0, 0], [0, 0])]
writer = TFRecordWriter(path)
writer.write({"one": (documents[0], "byte"), "more": (documents, "byte")})
writer.close()

example = example_pb2.Example.FromString(bytes(next(tfrecord_iterator(path))))
print("in the file:", [len(value) for value in example.features.feature["more"].bytes_list.value])
for description in None, {"one": "byte", "more": "byte"}:
    record = next(iter(tfrecord_loader(path, None, description)))
    print("one value:", len(record["one"]), "bytes; more:", [len(value) for value in record["more"]])
PYTHON
cat > "$work/expected" <<'TEXT'
in the file: [4, 6, 4]
one value: 4 bytes; more: [3, 2, 0]
one value: 4 bytes; more: [3, 2, 0]
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
