#!/usr/bin/env bash
# In MPICH the maximum over all processes is another one in each process, if one of them has NaN.
#
# Packages: mpich 5.0.2, mpi4py 4.1.2, numpy 2.4.6 (Python 3.11, x86-64).
# Expected: by the standard the result of an all-reduce "appears in the receive buffer of all the group members": NaN or
#           a number, it is one result, the same bits in each process, and the same for equal elements of an array.
# Seen:     with MPI_MAX and MPI_MIN each process compares in its own order, and what a comparison with NaN gives depends
#           on the side that it stands on. Of two processes one gets NaN and the other one the number. Of four, NaN in
#           one of them leaves 3, NaN, 3 and 1, so that the largest number is lost as well. In an array of 5,000 equal
#           elements the processes agree, and the first and the last element do not. Sums are NaN throughout. No error.
# Why it matters: "is a gradient norm or a loss anywhere not finite" is often asked by a maximum, so that all processes
#           skip the step or stop together. Here one of them does, and the others wait for it or train on without it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mpich==5.0.2 mpi4py==4.1.2 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
from mpi4py import MPI

world = MPI.COMM_WORLD


def reduced(operation, place, length):
    """The first and the last element in each process, where the one at `place` has NaN and the others their number."""
    given = np.full(length, np.nan if world.rank == place else float(world.rank))
    result = np.empty(length)
    world.Allreduce(given, result, op=operation)
    return world.gather((float(result[0]), float(result[-1])), root=0)


for name in ("MAX", "MIN", "SUM"):
    for place in range(world.size):
        single = reduced(getattr(MPI, name), place, 1)
        many = reduced(getattr(MPI, name), place, 5000)
        if world.rank == 0:
            results = " ".join(f"{first:g}" for first, _ in single)
            ends = " ".join(f"{first:g}..{last:g}" for first, last in many)
            print(f"{world.size} processes, {name}, NaN in process {place}: {results}; of 5000 elements: {ends}")
PYTHON
cat > "$work/expected" <<'TEXT'
2 processes, MAX, NaN in process 0: 1 nan; of 5000 elements: 1..nan 1..nan
2 processes, MAX, NaN in process 1: nan 0; of 5000 elements: nan..0 nan..0
2 processes, MIN, NaN in process 0: 1 nan; of 5000 elements: 1..nan 1..nan
2 processes, MIN, NaN in process 1: nan 0; of 5000 elements: nan..0 nan..0
2 processes, SUM, NaN in process 0: nan nan; of 5000 elements: nan..nan nan..nan
2 processes, SUM, NaN in process 1: nan nan; of 5000 elements: nan..nan nan..nan
4 processes, MAX, NaN in process 0: 3 3 3 nan; of 5000 elements: 3..nan 3..nan 3..nan 3..nan
4 processes, MAX, NaN in process 1: 3 3 nan 3; of 5000 elements: 3..3 3..3 3..3 3..3
4 processes, MAX, NaN in process 2: 3 nan 3 1; of 5000 elements: 3..1 3..1 3..1 3..1
4 processes, MAX, NaN in process 3: nan 2 1 2; of 5000 elements: nan..2 nan..2 nan..2 nan..2
4 processes, MIN, NaN in process 0: 1 2 1 nan; of 5000 elements: 1..nan 1..nan 1..nan 1..nan
4 processes, MIN, NaN in process 1: 2 0 nan 0; of 5000 elements: 2..0 2..0 2..0 2..0
4 processes, MIN, NaN in process 2: 0 nan 0 0; of 5000 elements: 0..0 0..0 0..0 0..0
4 processes, MIN, NaN in process 3: nan 0 0 0; of 5000 elements: nan..0 nan..0 nan..0 nan..0
4 processes, SUM, NaN in process 0: nan nan nan nan; of 5000 elements: nan..nan nan..nan nan..nan nan..nan
4 processes, SUM, NaN in process 1: nan nan nan nan; of 5000 elements: nan..nan nan..nan nan..nan nan..nan
4 processes, SUM, NaN in process 2: nan nan nan nan; of 5000 elements: nan..nan nan..nan nan..nan nan..nan
4 processes, SUM, NaN in process 3: nan nan nan nan; of 5000 elements: nan..nan nan..nan nan..nan nan..nan
TEXT
for processes in 2 4; do
    "$work/venv/bin/mpiexec" -n "$processes" "$work/venv/bin/python" "$work/seen.py"
done | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
