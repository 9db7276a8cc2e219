#!/usr/bin/env bash
# Paddle's warm-up, put around a plateau schedule, gives it the number of the step in place of the loss.
#
# Package: paddlepaddle 3.3.1 (Python 3.11).
# Expected: after `warmup_steps` the rate is that of the schedule inside, which may be any `LRScheduler` by the
#           documentation; with `ReduceOnPlateau` and a loss that always falls the rate stays where it is.
# Seen:     the wrapper's `step()` has no place for a loss. It hands over how many steps have passed since the warm-up,
#           so in mode "min" the best "loss" is 0 for ever and the rate is halved each time the patience runs out,
#           however well the training goes; in mode "max" it never falls, however badly. `step(loss)` is taken without a
#           word and makes the loss the number of the epoch: the rate then never gets past the beginning of the warm-up.
# Why it matters: a run with warm-up and plateau ends with a rate of almost nothing, and its log shows a plausible curve.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1
cat > "$work/seen.py" <<'PYTHON'
from paddle.optimizer.lr import LinearWarmup, ReduceOnPlateau

losses = [1 - 0.03 * step for step in range(30)]


def plateau(mode="min"):
    return ReduceOnPlateau(0.1, mode=mode, patience=2, factor=0.5)


def shown(rates):
    return " ".join(f"{rate:.4f}" for rate in rates)


alone = plateau()
rates = []
for loss in losses:
    rates.append(alone())
    alone.step(loss)
print("loss falls, plateau alone:         ", shown(rates[5::4]))
for mode in ("min", "max"):
    warm = LinearWarmup(plateau(mode), 5, 0, 0.1)
    rates = []
    for _ in losses:
        rates.append(warm())
        warm.step()
    print(f"any loss, within warm-up, mode {mode}:", shown(rates[5::4]))
    print("  best in the saved state:", warm.state_dict()["LinearWarmup_LR"]["best"])
warm = LinearWarmup(plateau(), 5, 0, 0.1)
rates = []
for loss in losses:
    rates.append(warm())
    warm.step(loss)
print("loss falls, given to the warm-up:  ", shown(rates[5::4]))
PYTHON
cat > "$work/expected" <<'TEXT'
loss falls, plateau alone:          0.1000 0.1000 0.1000 0.1000 0.1000 0.1000 0.1000
any loss, within warm-up, mode min: 0.1000 0.0500 0.0250 0.0063 0.0031 0.0016 0.0004
  best in the saved state: 0
any loss, within warm-up, mode max: 0.1000 0.1000 0.1000 0.1000 0.1000 0.1000 0.1000
  best in the saved state: 25
loss falls, given to the warm-up:   0.0176 0.0152 0.0128 0.0104 0.0080 0.0056 0.0032
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
