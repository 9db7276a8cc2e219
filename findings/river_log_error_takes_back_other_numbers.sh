#!/usr/bin/env bash
# River's logarithmic error takes other numbers out of a window than it put in, and can end as a complex number.
#
# Packages: river 0.26.1, numpy 2.4.6 (Python 3.11).
# Expected: `revert` undoes an `update`, so a metric over a window, which `utils.Rolling` keeps by these two calls, is
#           the metric of the pairs that are in the window.
# Seen:     so it is for the other metrics of regression. `RMSLE` takes the logarithms in `update` alone: what leaves
#           the window is taken out as it is, without logarithms. With numbers below 1 the error is too small by and by;
#           sooner or later, and at once with larger numbers, the sum of squares falls below zero, and its root is a
#           complex number. No error or warning. The metric without a window is right.
# Why it matters: a window is how an online learner is watched, and how a drift is seen. The numbers are plausible at
#           first, and better than the truth.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet river==0.26.1 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import random

from river import metrics, utils

kinds = [metrics.MAE, metrics.MSE, metrics.RMSE, metrics.SMAPE, metrics.R2, metrics.RMSLE]


def compare(kind, largest):
    """The metric over a window of 5 after 10, 20 and 30 pairs, and that of the last 5 pairs by themselves."""
    random.seed(0)
    pairs = [(random.uniform(0, largest), random.uniform(0, largest)) for _ in range(30)]
    rolling, windowed, fresh = utils.Rolling(kind, window_size=5), [], []
    for step, pair in enumerate(pairs, 1):
        rolling.update(*pair)
        if step % 10 == 0:
            alone = kind()
            for last in pairs[step - 5 : step]:
                alone.update(*last)
            windowed.append(rolling.get())
            fresh.append(alone.get())
    return windowed, fresh


for kind in kinds:
    for largest in (0.5, 10):
        windowed, fresh = compare(kind, largest)
        if all(abs(a - b) < 1e-9 for a, b in zip(windowed, fresh)):
            print(f"{kind.__name__}, up to {largest}: the same")
        else:
            pairs = ", ".join(f"{a:.3f} for {b:.3f}" for a, b in zip(windowed, fresh))
            print(f"{kind.__name__}, up to {largest}: {pairs}")
PYTHON
cat > "$work/expected" <<'TEXT'
MAE, up to 0.5: the same
MAE, up to 10: the same
MSE, up to 0.5: the same
MSE, up to 10: the same
RMSE, up to 0.5: the same
RMSE, up to 10: the same
SMAPE, up to 0.5: the same
SMAPE, up to 10: the same
R2, up to 0.5: the same
R2, up to 10: the same
RMSLE, up to 0.5: 0.106 for 0.128, 0.079 for 0.169, 0.000+0.216j for 0.138
RMSLE, up to 10: 0.000+2.300j for 0.537, 0.000+4.762j for 0.940, 0.000+8.369j for 0.719
TEXT
"$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
