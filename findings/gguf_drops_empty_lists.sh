#!/usr/bin/env bash
# The gguf package writes no entry for an empty list, and rounds a list of floats to 32 bits.
#
# Package: gguf 0.19.0, numpy 2.4.6 (Python 3.11).
# Expected: a key with an empty list is there when the file is read, or `add_array` raises an error; a Python float
#           in a list keeps its 64 bits, which the format has a type for.
# Seen:     the key is missing and the count of keys is one less, without an error or a warning. Floats in a list are
#           stored as 32 bits: 0.1 comes back as 0.10000000149011612. `add_float64` keeps a single number, and there is
#           no such call for lists.
# Why it matters: "no milestones" and "milestones unknown" are not the same schedule, and a learning rate that is
#           rounded is another learning rate.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet gguf==0.19.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import sys

import gguf

path = f"{sys.argv[1]}/schedule.gguf"
writer = gguf.GGUFWriter(path, "schedule")
writer.add_array("schedule.milestones", [])
writer.add_array("schedule.base_lrs", [0.1])
writer.add_float64("schedule.gamma", 0.1)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()
for key, field in gguf.GGUFReader(path).fields.items():
    if key.startswith("schedule."):
        print(key, [type.name for type in field.types], [field.parts[index].tolist() for index in field.data])
PYTHON
cat > "$work/expected" <<'TEXT'
schedule.base_lrs ['ARRAY', 'FLOAT32'] [[0.10000000149011612]]
schedule.gamma ['FLOAT64'] [[0.1]]
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
