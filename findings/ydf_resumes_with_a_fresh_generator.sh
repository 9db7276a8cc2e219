#!/usr/bin/env bash
# YDF resumes boosting from its checkpoint with a generator at its beginning, and DART not at all.
#
# Packages: ydf 0.16.1, numpy 2.4.6, absl-py 2.5.1, protobuf 7.36.2 (Python 3.11).
# Expected: `resume_training` is there for a training that "was interrupted by the user [...] or rescheduled", or that
#           is to have more trees. With a fixed seed and one thread the same run gives the same trees twice; a run of
#           6 trees that is resumed up to 12 gives them as well.
# Seen:     so it does without anything random. With `subsample`, with a ratio of candidate attributes and with sparse
#           oblique splits, all trees from the first one after the break are others: the generator is seeded once more,
#           as the counts of rows show, where 354 comes up again. With DART the second call ends in "INTERNAL: Wrong
#           number of trees", so that the checkpoint serves for nothing. By hand, with a process that was killed at the
#           61st of 200 trees, it was the same; and there, without sampling, tree 79 was another one where two splits
#           had the same score.
# Why it matters: a job that is rescheduled trains another model than one that is left alone, each time from the same
#           samples, and one with DART fails only then, after hours of saving checkpoints.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ydf==0.16.1 numpy==2.4.6 absl-py==2.5.1 protobuf==7.36.2
cat > "$work/seen.py" <<'PYTHON'
import sys

import numpy as np
import ydf

ydf.verbose(0)
random = np.random.default_rng(0)
x = random.normal(size=(600, 6))
label = x[:, 0] + np.sin(3 * x[:, 1]) + 0.3 * random.normal(size=600) > 0
data = {"label": label.astype(str), **{f"x{column}": x[:, column] for column in range(6)}}
fixed = {"label": "label", "validation_ratio": 0.0, "random_seed": 5, "num_threads": 1}
resuming = {"resume_training": True, "resume_training_snapshot_interval_seconds": 0}


def train(folder, trees, options):
    options = {**fixed, **resuming, **options, "num_trees": trees, "working_dir": f"{sys.argv[1]}/{folder}"}
    return ydf.GradientBoostedTreesLearner(**options).train(data)


def differing(first, second):
    pairs = zip(first.iter_trees(), second.iter_trees())
    return [number for number, (one, other) in enumerate(pairs) if str(one) != str(other)] or "none"


def rows(model):
    return [round(tree.root.value.num_examples) for tree in model.iter_trees()]


cases = {
    "plain": {},
    "subsample": {"subsample": 0.6},
    "candidate attributes": {"num_candidate_attributes_ratio": 0.5},
    "sparse oblique": {"split_axis": "SPARSE_OBLIQUE"},
    "DART": {"forest_extraction": "DART", "dart_dropout": 0.2},
}
for name, options in cases.items():
    whole = train(f"{name} 1", 12, options)
    print(f"{name}: other trees in a second run: {differing(whole, train(f'{name} 2', 12, options))}")
    train(f"{name} 3", 6, options)
    try:
        resumed = train(f"{name} 3", 12, options)
    except Exception as error:
        print(f"{name}: resumed: {error}")
        continue
    print(f"{name}: other trees after a break: {differing(whole, resumed)}")
    if "subsample" in options:
        print(f"  rows, unbroken: {rows(whole)}")
        print(f"  rows, resumed:  {rows(resumed)}")
PYTHON
cat > "$work/expected" <<'TEXT'
plain: other trees in a second run: none
plain: other trees after a break: none
subsample: other trees in a second run: none
subsample: other trees after a break: [6, 7, 8, 9, 10, 11]
  rows, unbroken: [354, 353, 361, 361, 322, 363, 356, 359, 369, 348, 354, 369]
  rows, resumed:  [354, 353, 361, 361, 322, 363, 354, 361, 360, 361, 322, 363]
candidate attributes: other trees in a second run: none
candidate attributes: other trees after a break: [6, 7, 8, 9, 10, 11]
sparse oblique: other trees in a second run: none
sparse oblique: other trees after a break: [6, 7, 8, 9, 10, 11]
DART: other trees in a second run: none
DART: resumed: INTERNAL: Wrong number of trees
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" 2> "$work/messages" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
