#!/usr/bin/env bash
# cpprb loads a replay buffer that has come round in another order, and makes up a transition.
#
# Packages: cpprb 11.0.0, numpy 2.4.6 (Python 3.11).
# Expected: `load_transitions` into an empty buffer of the same kind brings back the transitions that
#           `save_transitions` wrote, with the default `safe=True`, which is "much safer"; what comes next takes the
#           place of the oldest ones, as in the buffer that was saved. Priorities are not part of the promise.
# Seen:     so it is until the buffer is full. From then on it is a ring, and the file has the transitions by their
#           place and not by their age. The loaded buffer begins at place 0, so the next ones overwrite the newest, and
#           the oldest stay for another round. With `next_of`, which stores each observation once, the newest transition
#           ends in the observation that follows it in memory, that of the oldest: step 10 leads to 3. With `safe=False`
#           it is right until more is added; then 7 leads to 11. No error or warning.
# Why it matters: an agent that resumes forgets its latest steps first and keeps those of its oldest policy, and learns
#           from a step that never happened.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet cpprb==11.0.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import sys

from cpprb import ReplayBuffer

path = f"{sys.argv[1]}/transitions.npz"


def buffer(next_of):
    if next_of:
        return ReplayBuffer(8, {"obs": {}, "reward": {}}, next_of="obs")
    return ReplayBuffer(8, {"obs": {}, "reward": {}, "next_obs": {}})


def walk(target, steps):
    for step in steps:
        target.add(obs=step, reward=0, next_obs=step + 1)


def shown(target):
    rows = target.get_all_transitions()
    return " ".join(f"{int(now[0])}>{int(then[0])}" for now, then in zip(rows["obs"], rows["next_obs"]))


cases = [(False, 5, True), (False, 11, True), (True, 5, True), (True, 11, True), (True, 11, False)]
for next_of, length, safe in cases:
    print(f"next_of={next_of}, safe={safe}, {length} steps into a buffer of 8")
    first, second = buffer(next_of), buffer(next_of)
    walk(first, range(length))
    first.save_transitions(path, safe=safe)
    second.load_transitions(path)
    for name, steps in [("", []), (", 3 more steps", range(length, length + 3))]:
        for which, target in [("saved", first), ("loaded", second)]:
            walk(target, steps)
            print(f"  {which}{name}: {shown(target)}")
PYTHON
cat > "$work/expected" <<'TEXT'
next_of=False, safe=True, 5 steps into a buffer of 8
  saved: 0>1 1>2 2>3 3>4 4>5
  loaded: 0>1 1>2 2>3 3>4 4>5
  saved, 3 more steps: 0>1 1>2 2>3 3>4 4>5 5>6 6>7 7>8
  loaded, 3 more steps: 0>1 1>2 2>3 3>4 4>5 5>6 6>7 7>8
next_of=False, safe=True, 11 steps into a buffer of 8
  saved: 8>9 9>10 10>11 3>4 4>5 5>6 6>7 7>8
  loaded: 8>9 9>10 10>11 3>4 4>5 5>6 6>7 7>8
  saved, 3 more steps: 8>9 9>10 10>11 11>12 12>13 13>14 6>7 7>8
  loaded, 3 more steps: 11>12 12>13 13>14 3>4 4>5 5>6 6>7 7>8
next_of=True, safe=True, 5 steps into a buffer of 8
  saved: 0>1 1>2 2>3 3>4 4>5
  loaded: 0>1 1>2 2>3 3>4 4>5
  saved, 3 more steps: 0>1 1>2 2>3 3>4 4>5 5>6 6>7 7>8
  loaded, 3 more steps: 0>1 1>2 2>3 3>4 4>5 5>6 6>7 7>8
next_of=True, safe=True, 11 steps into a buffer of 8
  saved: 8>9 9>10 10>11 3>4 4>5 5>6 6>7 7>8
  loaded: 8>9 9>10 10>3 3>4 4>5 5>6 6>7 7>8
  saved, 3 more steps: 8>9 9>10 10>11 11>12 12>13 13>14 6>7 7>8
  loaded, 3 more steps: 11>12 12>13 13>14 3>4 4>5 5>6 6>7 7>11
next_of=True, safe=False, 11 steps into a buffer of 8
  saved: 8>9 9>10 10>11 3>4 4>5 5>6 6>7 7>8
  loaded: 8>9 9>10 10>11 3>4 4>5 5>6 6>7 7>8
  saved, 3 more steps: 8>9 9>10 10>11 11>12 12>13 13>14 6>7 7>8
  loaded, 3 more steps: 11>12 12>13 13>14 3>4 4>5 5>6 6>7 7>11
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
