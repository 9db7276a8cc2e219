#!/usr/bin/env bash
# Orbax saves a key with a dot in it at the place of a nested key: one of the two arrays is lost, without an error.
#
# Package: orbax-checkpoint 0.12.8, tensorstore 0.1.86, jax 0.10.2, numpy 2.4.6 (Python 3.11).
# Expected: `{"a.b": …, "a": {"b": …}}` comes back with both arrays, or the save is refused; a target of another shape is
#           refused by a restore.
# Seen:     both keys come back with one array, that of either key, from run to run another: the two were written to one
#           place, and nothing says so. A restore into a target of shape [8] gives the 6 numbers of the file, without an
#           error or a warning.
# Why it matters: names of PyTorch's parameters have dots (`encoder.weight`). A tree that keeps them beside nested ones,
#           as while a model is moved from one to the other, loses weights in its first save.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet orbax-checkpoint==0.12.8 tensorstore==0.1.86 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp


def round_trip(name, tree, target=None):
    checkpointer = ocp.StandardCheckpointer()
    checkpointer.save(f"{sys.argv[1]}/{name}", tree)
    checkpointer.wait_until_finished()
    return checkpointer.restore(f"{sys.argv[1]}/{name}", target)


for separator in ".", "/":
    first = f"a{separator}b"
    back = round_trip(f"joined_by_{ord(separator)}", {first: np.ones(1), "a": {"b": np.zeros(1)}})
    print(first, "is lost" if back[first][0] == back["a"]["b"][0] else "is kept")
longer = {"w": jax.ShapeDtypeStruct((8,), np.float32)}
print("asked for [8], got", list(round_trip("shape", {"w": np.zeros(6, np.float32)}, longer)["w"].shape))
PYTHON
cat > "$work/expected" <<'TEXT'
a.b is lost
a/b is kept
asked for [8], got [6]
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" 2> "$work/warnings" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
