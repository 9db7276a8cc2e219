#!/usr/bin/env bash
# hickle rounds the integers of a list to 53 bits, if a number with a fraction is beside them.
#
# Packages: hickle 5.0.3, h5py 3.16.0, numpy 2.4.6 (Python 3.11).
# Expected: a list or a tuple of plain numbers comes back as it was, as from pickle, which hickle says it is a drop-in
#           replacement for, "mostly"; integers stay integers.
# Seen:     a list of numbers is stored as one array, in the type that NumPy finds for all of them. Beside a float,
#           integers become floats: 9007199254740993 comes back as 9007199254740992, a seed of 62 bits loses its last
#           digits, and a step number has a point. Beside an integer, True becomes 1. With an entry that is no number,
#           with a dictionary in place of the list, and in a frozenset, each keeps its value and type. From 2**63 on a
#           list is refused with an OverflowError, beside a float or not. Nothing is said in the other cases.
# Why it matters: `(seed, step, rate)` is a state of training. A run that is resumed from it has another seed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet hickle==5.0.3 h5py==3.16.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import pickle
import sys

import hickle
import numpy as np

path = f"{sys.argv[1]}/state.hkl"
states = {
    "integers": [9007199254740993, 120],
    "beside a float": [9007199254740993, 0.5],
    "tuple of seed, step and rate": (4611686018427387905, 120, 0.001),
    "in a dictionary": {"state": (4611686018427387905, 120, 0.001)},
    "truth beside an integer": [True, 120],
    "beside None": [9007199254740993, 0.5, None],
    "dictionary": {"seed": 9007199254740993, "rate": 0.5},
    "frozenset": frozenset([9007199254740993, 0.5]),
    "beyond 63 bits": [9223372036854775809, 120],
}


def plain(value):
    """The value without NumPy's types for single numbers."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(plain(entry) for entry in value)
    return value.item() if isinstance(value, np.generic) else value


for name, state in states.items():
    assert pickle.loads(pickle.dumps(state)) == state
    try:
        hickle.dump(state, path, mode="w")
        seen = plain(hickle.load(path))
    except OverflowError as error:
        print(f"{name}: {type(error).__name__}")
        continue
    print(f"{name}:", "the same" if repr(seen) == repr(state) else f"{state} is {seen}")
PYTHON
cat > "$work/expected" <<'TEXT'
integers: the same
beside a float: [9007199254740993, 0.5] is [9007199254740992.0, 0.5]
tuple of seed, step and rate: (4611686018427387905, 120, 0.001) is (4.611686018427388e+18, 120.0, 0.001)
in a dictionary: {'state': (4611686018427387905, 120, 0.001)} is {'state': (4.611686018427388e+18, 120.0, 0.001)}
truth beside an integer: [True, 120] is [1, 120]
beside None: the same
dictionary: the same
frozenset: the same
beyond 63 bits: OverflowError
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
