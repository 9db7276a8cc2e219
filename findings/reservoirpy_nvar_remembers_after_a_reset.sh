#!/usr/bin/env bash
# Resetting NVAR of reservoirpy leaves its window full, so that one series runs into the next one.
#
# Packages: reservoirpy 0.4.2, scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Expected: reset is for "all Node state": the same series again gives the same. Several series in one list are
#           separate series, each begun from the same state, as they are for a Reservoir.
# Seen:     NVAR puts delayed inputs side by side, and keeps them outside of what is reset. After a run and a reset the
#           first rows hold the last inputs of the run before. In a list the second series begins with the end of the
#           first one. So a fit on two series differs from the fit on the same two in the other order, and predictions
#           depend on what was run before; the state of the node, which is saved and given back by reset, says zero.
# Why it matters: nothing is raised, and with a delay of many steps many rows are mixed, in training and in testing. It
#           is not reproducible whether a test was run before. A new NVAR, or a copy made before the first run, helps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet reservoirpy==0.4.2 scipy==1.17.1 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
from reservoirpy.nodes import NVAR, Reservoir, Ridge

series = np.arange(1.0, 7.0).reshape(-1, 1)


def start(outputs):
    """The linear part of the first rows: an input and the two before it."""
    return outputs[:3, :3].astype(int).tolist()


node = NVAR(delay=3, order=1)
print("first run:", start(node.run(series)))
node.reset()
print("state after the reset:", "zero" if not any(value.any() for value in node.state.values()) else "not zero")
print("run after the reset:", start(node.run(series)))
first, second = NVAR(delay=3, order=1).run([series, series])
print("the same series twice in a list:", start(first), start(second))
first, second = Reservoir(5, seed=0).run([series, series])
print("the same in a Reservoir:", "equal" if (first == second).all() else "different")

data = [np.random.default_rng(seed).normal(size=(30, 1)).cumsum(axis=0) for seed in (0, 1)]
weights = {}
for order in [(0, 1), (1, 0)]:
    model = NVAR(delay=3, order=2) >> Ridge(ridge=1e-3)
    model.fit([data[place][:-1] for place in order], [data[place][1:] for place in order])
    weights[order] = model.nodes[1].Wout
print("fitted to two series in either order:", np.allclose(*weights.values()) and "the same" or "other weights")
PYTHON
cat > "$work/expected" <<'TEXT'
first run: [[1, 0, 0], [2, 1, 0], [3, 2, 1]]
state after the reset: zero
run after the reset: [[1, 6, 5], [2, 1, 6], [3, 2, 1]]
the same series twice in a list: [[1, 0, 0], [2, 1, 0], [3, 2, 1]] [[1, 6, 5], [2, 1, 6], [3, 2, 1]]
the same in a Reservoir: equal
fitted to two series in either order: other weights
TEXT
"$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
