#!/usr/bin/env bash
# SepCMA of the cmaes package moves the array that it was given as its start.
#
# Packages: cmaes 0.13.1, numpy 2.4.6 (Python 3.11).
# Expected: `mean` is where the search begins and stays as it is, as with the other classes; two searches from one array
#           with one seed ask for the same points.
# Seen:     CMA (since 2022), XNES and MAPCMA copy the array. SepCMA takes it as its own mean and adds to it in each
#           generation, so the array follows the search, and the second search from it begins where the first one ended.
#           CatCMAwM does so as well, if it is given a mean. Nothing is raised.
# Why it matters: restarts with a larger population, and repetitions with other seeds, take the start again. They are
#           then no repetitions: each one continues the one before, and its result looks better than it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet cmaes==0.13.1 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import cmaes
import numpy as np

kinds = {
    "CMA": lambda mean: cmaes.CMA(mean, 1.3, seed=1),
    "XNES": lambda mean: cmaes.XNES(mean, 1.3, seed=1),
    "MAPCMA": lambda mean: cmaes.MAPCMA(mean, 1.3, seed=1),
    "SepCMA": lambda mean: cmaes.SepCMA(mean, 1.3, seed=1),
    "CatCMAwM": lambda mean: cmaes.CatCMAwM(x_space=[[-5, 5]] * 4, mean=mean, sigma=1.3, seed=1),
}


def search(optimizer):
    """The distance from the goal of the best point of each generation."""
    best = []
    for _ in range(30):
        told = []
        for _ in range(optimizer.population_size):
            solution = optimizer.ask()
            told.append((solution, float(np.linalg.norm(getattr(solution, "x", solution) - 2))))
        best.append(min(distance for _, distance in told))
        optimizer.tell(told)
    return best


for name, make in kinds.items():
    start = np.zeros(4)
    first = search(make(start))
    moved = bool(start.any())
    second = search(make(start))
    print(f"{name}: the start has moved {moved}; a second search is the same {first == second},",
          f"first generations {first[0]:.2f} and {second[0]:.2f} from the goal")
PYTHON
cat > "$work/expected" <<'TEXT'
CMA: the start has moved False; a second search is the same True, first generations 3.81 and 3.81 from the goal
XNES: the start has moved False; a second search is the same True, first generations 3.81 and 3.81 from the goal
MAPCMA: the start has moved False; a second search is the same True, first generations 3.81 and 3.81 from the goal
SepCMA: the start has moved True; a second search is the same False, first generations 3.81 and 1.24 from the goal
CatCMAwM: the start has moved True; a second search is the same False, first generations 3.73 and 0.64 from the goal
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
