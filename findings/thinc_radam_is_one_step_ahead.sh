#!/usr/bin/env bash
# Thinc's RAdam is one step ahead of its count, and passes over the scale that a call gives to the learning rate.
#
# Packages: thinc 9.1.1, numpy 2.4.6 (Python 3.11).
# Expected: the first update is number 1, so RAdam's first five updates, which are plain momentum with its bias taken
#           out, and the rectified ones from the sixth on are those of the paper (arXiv 1908.03265, algorithm 2). The
#           `lr_scale` of a call is a factor for the rate.
# Seen:     the optimizer counts the update, and its RAdam counts it once more: update n is that of step n + 1. The
#           first one has 0.53 of its size, and the rectification, with its small steps, comes at the fifth.
#           `lr_scale` changes nothing: at 0.1, and even at 0, the weights move as at 1. Adam and plain gradient descent
#           of the same class do both as expected. No error or warning.
# Why it matters: the scale is how layers get smaller rates than others; with RAdam a part of a network that is meant
#           to stand still is trained at the full rate. And a comparison with RAdam elsewhere never agrees.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet thinc==9.1.1 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
from thinc.api import SGD, Adam, RAdam

RATE, BETA1, BETA2, GRADIENT = 0.01, 0.9, 0.999, 0.1


def paper(updates, ahead):
    """How far RAdam moves a weight in each update, if the number of the step is `ahead` of that of the update."""
    moved, momentum, square, longest = [], 0.0, 0.0, 2 / (1 - BETA2) - 1
    for step in range(1 + ahead, updates + 1 + ahead):
        momentum = BETA1 * momentum + (1 - BETA1) * GRADIENT
        square = BETA2 * square + (1 - BETA2) * GRADIENT**2
        size = RATE * momentum / (1 - BETA1**step)
        length = longest - 2 * step * BETA2**step / (1 - BETA2**step)
        if length >= 5:
            ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            size *= np.sqrt(ratio * (1 - BETA2**step) / square)
        moved.append(size)
    return moved


def thinc(make, updates=8, scale=1.0):
    optimizer, weights, moved = make(RATE, L2=0.0, grad_clip=0.0, use_averages=False), np.zeros(1, "f"), []
    for _ in range(updates):
        before = float(weights[0])
        weights, _ = optimizer((0, "W"), weights, np.full(1, GRADIENT, "f"), lr_scale=scale)
        optimizer.step_schedules()
        moved.append(before - float(weights[0]))
    return moved


def numbers(moved):
    return " ".join(f"{1e3 * size:.2f}" for size in moved)


print("the paper, thousandths:", numbers(paper(8, 0)))
print("the paper one step on: ", numbers(paper(8, 1)))
print("Thinc's RAdam:         ", numbers(thinc(RAdam)))
print("the same at lr_scale 0:", numbers(thinc(RAdam, scale=0.0)))
for name, make in {"Adam": Adam, "SGD": SGD}.items():
    whole, tenth, still = (sum(thinc(make, scale=scale)) for scale in (1.0, 0.1, 0.0))
    print(f"{name}: at lr_scale 0.1 {tenth / whole:.2f} of the way, at 0 {still / whole:.2f}")
PYTHON
cat > "$work/expected" <<'TEXT'
the paper, thousandths: 1.00 1.00 1.00 1.00 1.00 0.26 0.33 0.39
the paper one step on:  0.53 0.70 0.79 0.84 0.25 0.32 0.38 0.43
Thinc's RAdam:          0.53 0.70 0.79 0.84 0.25 0.32 0.38 0.43
the same at lr_scale 0: 0.53 0.70 0.79 0.84 0.25 0.32 0.38 0.43
Adam: at lr_scale 0.1 0.10 of the way, at 0 0.00
SGD: at lr_scale 0.1 0.10 of the way, at 0 0.00
TEXT
"$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
