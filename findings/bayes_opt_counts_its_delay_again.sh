#!/usr/bin/env bash
# A Bayesian optimization that is loaded from its file waits again before it explores less.
#
# Packages: bayesian-optimization 3.4.0, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Expected: `save_state` saves the "complete state for reconstruction of the optimizer", so after `load_state` the same
#           points are suggested as without a break. The file has the points, the state of the generator and the
#           parameters of the acquisition function, with `kappa` or `xi` as it stands.
# Seen:     so it is with no decay and with `exploration_decay` alone. `exploration_decay_delay` is in the file, and
#           how many suggestions have passed is not: the loaded optimizer counts from 0, keeps `kappa` for the whole
#           delay once more, and suggests other points. So do all three functions with a delay. A search that is loaded
#           at least once within each delay never decays.
# Why it matters: long trials are run a few at a time, with the file in between. That search never comes to the part in
#           which it refines its best point, and no message tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet bayesian-optimization==3.4.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import sys

import numpy as np
from bayes_opt import BayesianOptimization, acquisition

path, count = f"{sys.argv[1]}/state.json", 7
functions = {
    "UpperConfidenceBound": ("kappa", 2.5),
    "ExpectedImprovement": ("xi", 0.1),
    "ProbabilityOfImprovement": ("xi", 0.1),
}


def search(name, options):
    parameter, value = functions[name]
    function = getattr(acquisition, name)(**{parameter: value}, **options)
    bounds = {"x": (-3, 3), "y": (-3, 3)}
    return BayesianOptimization(None, bounds, acquisition_function=function, random_state=3, verbose=0)


def register(optimizer, point):
    x, y = point["x"], point["y"]
    optimizer.register(point, float(-((x - 1) ** 2) - (y + 1) ** 2 + np.sin(3 * x)))


def values(name, options, load_after=()):
    optimizer, points, seen = search(name, options), [], []
    for x, y in [(-2, 1), (0, -1), (2, 2)]:
        register(optimizer, {"x": x, "y": y})
    for number in range(count):
        if number in load_after:
            optimizer.save_state(path)
            optimizer = search(name, options)
            optimizer.load_state(path)
        points.append(optimizer.suggest())
        register(optimizer, points[-1])
        seen.append(getattr(optimizer.acquisition_function, functions[name][0]))
    return points, " ".join(f"{value:.3f}" for value in seen)


decay = {"exploration_decay": 0.8}
delay = {**decay, "exploration_decay_delay": 3}
cases = [("UpperConfidenceBound", {}), ("UpperConfidenceBound", decay), *((name, delay) for name in functions)]
for name, options in cases:
    whole, loaded = values(name, options), values(name, options, {4})
    print(name, *options.values(), "-> same points:", whole[0] == loaded[0])
    print("  without a break:", whole[1])
    print("  loaded after 4: ", loaded[1])
print("loaded each time:", values("UpperConfidenceBound", delay, range(1, count))[1])
PYTHON
cat > "$work/expected" <<'TEXT'
UpperConfidenceBound -> same points: True
  without a break: 2.500 2.500 2.500 2.500 2.500 2.500 2.500
  loaded after 4:  2.500 2.500 2.500 2.500 2.500 2.500 2.500
UpperConfidenceBound 0.8 -> same points: True
  without a break: 2.000 1.600 1.280 1.024 0.819 0.655 0.524
  loaded after 4:  2.000 1.600 1.280 1.024 0.819 0.655 0.524
UpperConfidenceBound 0.8 3 -> same points: False
  without a break: 2.500 2.500 2.000 1.600 1.280 1.024 0.819
  loaded after 4:  2.500 2.500 2.000 1.600 1.600 1.600 1.280
ExpectedImprovement 0.8 3 -> same points: False
  without a break: 0.100 0.100 0.080 0.064 0.051 0.041 0.033
  loaded after 4:  0.100 0.100 0.080 0.064 0.064 0.064 0.051
ProbabilityOfImprovement 0.8 3 -> same points: False
  without a break: 0.100 0.100 0.080 0.064 0.051 0.041 0.033
  loaded after 4:  0.100 0.100 0.080 0.064 0.064 0.064 0.051
loaded each time: 2.500 2.500 2.500 2.500 2.500 2.500 2.500
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
