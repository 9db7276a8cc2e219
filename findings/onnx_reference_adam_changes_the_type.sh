#!/usr/bin/env bash
# In ONNX's reference evaluator the type of Adam's outputs depends on how many tensors one node updates.
#
# Package: onnx 1.23.2, numpy 2.4.6 (Python 3.11).
# Expected: `Adam` of `ai.onnx.preview.training` takes one or more tensors of one type, float or double, and gives
#           outputs of that type; a node for two tensors gives what two nodes give. The checker with full inference
#           agrees, and `Adagrad` and `Momentum` do so.
# Seen:     with one float32 tensor the new weights are float64, beside float32 moments, so a loop that feeds them back
#           gives the node inputs of two types. With two float64 tensors all outputs are float32: at a learning rate of
#           0, a weight of a third comes back as 0.3333333432674408. No error or warning.
# Why it matters: the evaluator is what other implementations are compared with. A training graph in double is trained
#           in single precision, and only if its tensors are grouped.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

domain = "ai.onnx.preview.training"
states = {"Adam": ["moment", "square"], "Adagrad": ["square"], "Momentum": ["moment"]}
attributes = {"Momentum": {"alpha": 0.9, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.0}}


def evaluator(kind, count, dtype):
    """A model with one node that updates `count` tensors, checked with the types of its inputs and outputs."""
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [f"{name}{index}" for name in ["weight", "gradient", *states[kind]] for index in range(count)]
    outputs = [f"new_{name}{index}" for name in ["weight", *states[kind]] for index in range(count)]
    node = helper.make_node(kind, ["rate", "step", *inputs], outputs, domain=domain, **attributes.get(kind, {}))
    described = [helper.make_tensor_value_info("rate", number, [])]
    described += [helper.make_tensor_value_info("step", onnx.TensorProto.INT64, [])]
    described += [helper.make_tensor_value_info(name, number, [2]) for name in inputs]
    promised = [helper.make_tensor_value_info(name, number, [2]) for name in outputs]
    graph = helper.make_graph([node], "update", described, promised)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(domain, 1)])
    onnx.checker.check_model(model, full_check=True)
    return ReferenceEvaluator(model)


def update(kind, count, dtype, rate):
    """The outputs of one step from weights of a third: weights first, then the states."""
    values = {"weight": 1 / 3, "gradient": 0.7, "moment": 0, "square": 0}
    names = [f"{name}{index}" for name in ["weight", "gradient", *states[kind]] for index in range(count)]
    feed = {name: np.full(2, values[name[:-1]], dtype) for name in names}
    return evaluator(kind, count, dtype).run(None, {"rate": dtype(rate), "step": np.array(1), **feed})


for kind in states:
    for count in 1, 2:
        for dtype in np.float32, np.float64:
            types = [str(output.dtype) for output in update(kind, count, dtype, 0.1)[::count]]
            print(f"{kind}, tensors in the node: {count}, {dtype.__name__} in, out:", *types)
for kind in states:
    weights = [float(update(kind, count, np.float64, 0)[0][0]) for count in (1, 2)]
    print(f"{kind} with a rate of 0, one tensor and two:", *weights)
PYTHON
cat > "$work/expected" <<'TEXT'
Adam, tensors in the node: 1, float32 in, out: float64 float32 float32
Adam, tensors in the node: 1, float64 in, out: float64 float64 float64
Adam, tensors in the node: 2, float32 in, out: float32 float32 float32
Adam, tensors in the node: 2, float64 in, out: float32 float32 float32
Adagrad, tensors in the node: 1, float32 in, out: float32 float32
Adagrad, tensors in the node: 1, float64 in, out: float64 float64
Adagrad, tensors in the node: 2, float32 in, out: float32 float32
Adagrad, tensors in the node: 2, float64 in, out: float64 float64
Momentum, tensors in the node: 1, float32 in, out: float32 float32
Momentum, tensors in the node: 1, float64 in, out: float64 float64
Momentum, tensors in the node: 2, float32 in, out: float32 float32
Momentum, tensors in the node: 2, float64 in, out: float64 float64
Adam with a rate of 0, one tensor and two: 0.3333333333333333 0.3333333432674408
Adagrad with a rate of 0, one tensor and two: 0.3333333333333333 0.3333333333333333
Momentum with a rate of 0, one tensor and two: 0.3333333333333333 0.3333333333333333
TEXT
"$work/venv/bin/python" "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
