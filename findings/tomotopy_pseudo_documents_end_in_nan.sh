#!/usr/bin/env bash
# tomotopy's model of pseudo-documents, read from its full file and trained on, has a likelihood of NaN.
#
# Packages: tomotopy 0.14.0, numpy 2.4.6 (Python 3.11, x86-64).
# Expected: `save` with `full=True` stores "the full state of the model", for more training after `load`: the model has
#           the same likelihood as before, which improves as without a break, and assigns new documents to topics.
# Seen:     the Pseudo-document Topic Model (`PTModel`) comes back with the same topics, the same assignments of all
#           words and another likelihood. After one more iteration the likelihood is NaN and stays so, in the model and
#           in what `infer` gives for new documents; nothing is raised, and training continues. Saved and loaded once
#           more it is a number again, until the next iteration. By the source, the counts of the pseudo-documents are
#           left out of the file. Five other models come back with their likelihood and keep a finite one.
# Why it matters: topics are trained for hours, in parts. Progress can no longer be followed, models can't be compared,
#           and a rule that stops at the best likelihood never stops, or at once: comparisons with NaN are all false.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tomotopy==0.14.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import random
import sys

import numpy as np
import tomotopy as tp

path = f"{sys.argv[1]}/model.bin"
random.seed(0)
documents = [[f"w{min(random.choices(range(60), k=2)) + number % 3 * 40}" for _ in range(50)] for number in range(60)]
models = {
    "LDAModel": {"k": 5},
    "CTModel": {"k": 5},
    "HDPModel": {},
    "PAModel": {"k1": 2, "k2": 4},
    "HLDAModel": {"depth": 3},
    "PTModel": {"k": 5, "p": 20},
}


def words(model):
    return [list(document.topics) for document in model.docs]


for name, settings in models.items():
    model = getattr(tp, name)(seed=7, **settings)
    for document in documents:
        model.add_doc(document)
    model.train(20, workers=1)
    before = model.ll_per_word
    model.save(path, full=True)
    loaded = getattr(tp, name).load(path)
    assert words(loaded) == words(model)
    same = loaded.ll_per_word == before
    model.train(10, workers=1)
    loaded.train(10, workers=1)
    finite = [bool(np.isfinite(one.ll_per_word)) for one in (model, loaded)]
    print(f"{name}: loaded, the likelihood is the same {same}; ten iterations later it is finite",
          f"without a break {finite[0]}, loaded {finite[1]}")

finite = []
for one in (model, loaded):
    _, likelihoods = one.infer([one.make_doc(document) for document in documents[:3]], workers=1)
    finite.append(bool(np.isfinite(likelihoods).all()))
print(f"PTModel: the likelihood of new documents is finite without a break {finite[0]}, loaded {finite[1]}")
PYTHON
cat > "$work/expected" <<'TEXT'
LDAModel: loaded, the likelihood is the same True; ten iterations later it is finite without a break True, loaded True
CTModel: loaded, the likelihood is the same True; ten iterations later it is finite without a break True, loaded True
HDPModel: loaded, the likelihood is the same True; ten iterations later it is finite without a break True, loaded True
PAModel: loaded, the likelihood is the same True; ten iterations later it is finite without a break True, loaded True
HLDAModel: loaded, the likelihood is the same True; ten iterations later it is finite without a break True, loaded True
PTModel: loaded, the likelihood is the same False; ten iterations later it is finite without a break True, loaded False
PTModel: the likelihood of new documents is finite without a break True, loaded False
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
