#!/usr/bin/env bash
# Paddle's L-BFGS writes its whole history to a checkpoint and takes none of it back.
#
# Package: paddlepaddle 3.3.1 (Python 3.11).
# Expected: `set_state_dict` with what `state_dict` gave makes the next steps those of a run without a break, as it does
#           for Adam; or it raises an error.
# Seen:     the file holds the pairs of the history, the scale of the first guess and the counters, and
#           `paddle.load` gives them back. `set_state_dict` is the one of the other optimizers, looks for accumulators
#           by their names, finds none to look for and returns: the state is empty, and the run goes on exactly as with
#           an optimizer that was given nothing. The losses part from the second step on.
# Why it matters: the checkpoint looks complete and is as large as it should be; the curvature learnt so far is gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paddlepaddle==3.3.1
cat > "$work/seen.py" <<'PYTHON'
import sys

import numpy as np
import paddle

folder = sys.argv[1]
paddle.set_device("cpu")
random = np.random.default_rng(0)
rows = random.normal(size=(16, 5)).astype("float32")
x, y = paddle.to_tensor(rows), paddle.to_tensor(2 * rows[:, :1] + rows[:, 1:2] ** 2)
kinds = {
    "Adam": lambda weights: paddle.optimizer.Adam(learning_rate=0.1, parameters=weights),
    "LBFGS": lambda weights: paddle.optimizer.LBFGS(learning_rate=0.1, max_iter=3, parameters=weights),
}


def start(kind):
    paddle.seed(1)
    model = paddle.nn.Sequential(paddle.nn.Linear(5, 8), paddle.nn.Tanh(), paddle.nn.Linear(8, 1))
    return model, kinds[kind](model.parameters())


def train(model, optimizer, steps):
    def gradients():
        optimizer.clear_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        return loss

    losses = []
    for _ in range(steps):
        if isinstance(optimizer, paddle.optimizer.LBFGS):
            losses.append(float(optimizer.step(gradients)))
        else:
            losses.append(float(gradients()))
            optimizer.step()
    return losses


def resumed(kind, with_state):
    with paddle.utils.unique_name.guard():
        model, optimizer = start(kind)
        model.set_state_dict(paddle.load(f"{folder}/{kind}.pdparams"))
        if with_state:
            optimizer.set_state_dict(paddle.load(f"{folder}/{kind}.pdopt"))
        return optimizer, train(model, optimizer, 4)


for kind in kinds:
    with paddle.utils.unique_name.guard():
        whole = train(*start(kind), 8)[4:]
    with paddle.utils.unique_name.guard():
        model, optimizer = start(kind)
        train(model, optimizer, 4)
        paddle.save(model.state_dict(), f"{folder}/{kind}.pdparams")
        paddle.save(optimizer.state_dict(), f"{folder}/{kind}.pdopt")
    if kind == "LBFGS":
        saved = paddle.load(f"{folder}/{kind}.pdopt")["state"]
        print("LBFGS, in the file:", saved["n_iter"], "iterations,", len(saved["old_sk"]), "pairs")
        with paddle.utils.unique_name.guard():
            fresh = start(kind)[1]
            fresh.set_state_dict(paddle.load(f"{folder}/{kind}.pdopt"))
            print("LBFGS, after loading:", fresh.state_dict())
    losses, without = resumed(kind, True)[1], resumed(kind, False)[1]
    print(f"{kind}: as without a break", losses == whole, "- as without its file", losses == without)
PYTHON
cat > "$work/expected" <<'TEXT'
Adam: as without a break True - as without its file False
LBFGS, in the file: 8 iterations, 7 pairs
LBFGS, after loading: {'state': {}}
LBFGS: as without a break False - as without its file True
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
