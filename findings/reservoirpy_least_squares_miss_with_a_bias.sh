#!/usr/bin/env bash
# The recursive least squares of reservoirpy do not find a line whose inputs are not centred, although it is exact.
#
# Packages: reservoirpy 0.4.2, scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Expected: recursive least squares follow the least squares solution of all rows so far: y = 2 a + 3 b + 5, without
#           noise, is known after three rows, and stays. A bias is one more weight, the one of an input that is 1.
# Seen:     only the weights of the inputs are in the recursion; the bias is a mean of errors beside it. If the inputs
#           have mean 0, the numbers come near, slowly. With mean 3, after 500 exact rows the weights are 3.61 and 4.74
#           and the bias is -5.05, where an input of ones without bias gives 2, 3 and 5. Ridge is right on the same
#           rows. LMS, the simplest rule of the library, is nearer.
# Why it matters: learning a bias is the default, and the states of a reservoir seldom have a mean of 0. What is off looks
#           like noise in the data or like too few rows, and the answer, more data, helps little.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet reservoirpy==0.4.2 scipy==1.17.1 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
from reservoirpy.nodes import LMS, RLS, Ridge


def show(name, node, inputs, targets):
    node.fit(inputs, targets)
    wrong = np.abs(node.run(inputs) - targets).max()
    weights = " ".join(f"{weight:.2f}" for weight in [*node.Wout.ravel(), *np.ravel(node.bias)])
    print(f"{name}: weights and bias {weights}, at most {wrong:.2f} off")


for mean in (0, 3):
    inputs = np.random.default_rng(0).normal(size=(500, 2)) + mean
    targets = inputs @ [[2.0], [3.0]] + 5
    ones = np.hstack([inputs, np.ones((500, 1))])
    show(f"mean {mean}, RLS", RLS(), inputs, targets)
    show(f"mean {mean}, RLS without bias, input of ones", RLS(fit_bias=False), ones, targets)
    show(f"mean {mean}, Ridge", Ridge(ridge=1e-6), inputs, targets)
    show(f"mean {mean}, LMS", LMS(learning_rate=0.05), inputs, targets)
PYTHON
cat > "$work/expected" <<'TEXT'
mean 0, RLS: weights and bias 1.99 3.00 4.99, at most 0.03 off
mean 0, RLS without bias, input of ones: weights and bias 2.00 3.00 5.00 0.00, at most 0.00 off
mean 0, Ridge: weights and bias 2.00 3.00 5.00, at most 0.00 off
mean 0, LMS: weights and bias 2.00 3.00 5.00, at most 0.00 off
mean 3, RLS: weights and bias 3.61 4.74 -5.05, at most 6.99 off
mean 3, RLS without bias, input of ones: weights and bias 2.00 3.00 5.00 0.00, at most 0.00 off
mean 3, Ridge: weights and bias 2.00 3.00 5.00, at most 0.00 off
mean 3, LMS: weights and bias 2.21 3.17 3.96, at most 0.85 off
TEXT
"$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
