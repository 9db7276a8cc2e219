#!/usr/bin/env bash
# A boosted model that is continued from its file draws the row samples of its first rounds again.
#
# Packages: xgboost-cpu 3.2.0, lightgbm 4.7.0, numpy 2.4.6, pandas 3.1.1 (Python 3.11).
# Expected: five rounds, saved, and five more from the file (`xgb_model`, `init_model`) are ten rounds, as they are
#           without sampling: same trees. A rate that is a function of the round continues with round 5.
# Seen:     without sampling the trees are the same. With `subsample` XGBoost begins its draws again: rounds 5 to 9 see
#           the rows that rounds 0 to 4 saw. LightGBM's `bagging_fraction` and `feature_fraction` give other trees as
#           well. In both, callbacks that set the learning rate are asked for rounds 0 to 4 a second time.
# Why it matters: a run that is killed and continued is another model than one that was left alone, without a word.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xgboost-cpu==3.2.0 lightgbm==4.7.0 numpy==2.4.6 pandas==3.1.1
cat > "$work/seen.py" <<'PYTHON'
import sys

import lightgbm as lgb
import numpy as np
import xgboost as xgb

folder = sys.argv[1]
random = np.random.default_rng(0)
x = random.normal(size=(400, 6))
y = 2 * x[:, 0] + np.sin(3 * x[:, 1]) + 0.1 * random.normal(size=400)
matrix = xgb.DMatrix(x, y)
asked = []


def rate(number):
    asked.append(number)
    return 0.5 * 0.8**number


def xgboost(options, callbacks=lambda: []):
    options = {"max_depth": 3, "seed": 7, "nthread": 1, **options}
    whole = xgb.train(options, matrix, 10, callbacks=callbacks())
    xgb.train(options, matrix, 5, callbacks=callbacks()).save_model(f"{folder}/half.json")
    asked.clear()
    return whole, xgb.train(options, matrix, 5, xgb_model=f"{folder}/half.json", callbacks=callbacks())


def lightgbm(options, callbacks=lambda: []):
    options = {"num_leaves": 7, "seed": 3, "num_threads": 1, "deterministic": True, "force_row_wise": True,
               "verbose": -1, **options}
    data = lambda: lgb.Dataset(x, y, free_raw_data=False)
    whole = lgb.train(options, data(), 10, callbacks=callbacks())
    lgb.train(options, data(), 5, callbacks=callbacks()).save_model(f"{folder}/half.txt")
    asked.clear()
    return whole, lgb.train(options, data(), 5, init_model=f"{folder}/half.txt", callbacks=callbacks())


def rows_of_each_tree(model):
    return [int(tree.Cover.iloc[0]) for _, tree in model.trees_to_dataframe().groupby("Tree")]


def same(pair, rows):
    return bool(np.array_equal(pair[0].predict(rows), pair[1].predict(rows)))


sampled = xgboost({"subsample": 0.5})
continued = rows_of_each_tree(sampled[1])
print("xgboost, all rows: same model", same(xgboost({}), matrix))
print("xgboost, half the rows: same model", same(sampled, matrix))
print("xgboost, rows in trees 5 to 9 are those of 0 to 4", continued[5:] == continued[:5])
print("xgboost, uninterrupted they are", rows_of_each_tree(sampled[0])[5:] == rows_of_each_tree(sampled[0])[:5])
xgboost({}, lambda: [xgb.callback.LearningRateScheduler(rate)])
print("xgboost, rounds the rate was asked for after the continuation", asked)
print("lightgbm, all rows: same model", same(lightgbm({}), x))
print("lightgbm, half the rows: same model", same(lightgbm({"bagging_fraction": 0.5, "bagging_freq": 1}), x))
print("lightgbm, half the columns: same model", same(lightgbm({"feature_fraction": 0.5}), x))
lightgbm({}, lambda: [lgb.reset_parameter(learning_rate=rate)])
print("lightgbm, rounds the rate was asked for after the continuation", asked)
PYTHON
cat > "$work/expected" <<'TEXT'
xgboost, all rows: same model True
xgboost, half the rows: same model False
xgboost, rows in trees 5 to 9 are those of 0 to 4 True
xgboost, uninterrupted they are False
xgboost, rounds the rate was asked for after the continuation [0, 1, 2, 3, 4]
lightgbm, all rows: same model True
lightgbm, half the rows: same model False
lightgbm, half the columns: same model False
lightgbm, rounds the rate was asked for after the continuation [0, 1, 2, 3, 4]
TEXT
"$work/venv/bin/python" "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
