#!/usr/bin/env bash
# ONNX's reference evaluator gives old models other numbers: batch normalization depends on the batch in inference.
#
# Packages: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (Python 3.11).
# Expected: a model is evaluated by the version of the operators that it was written for. `BatchNormalization` of opset
#           9 to 13 with one output is in "test mode", with the stored mean and variance; `Softmax`, `LogSoftmax` and
#           `Hardmax` before opset 13 make a matrix of their input, from axis 1 on by default.
# Seen:     the normalization uses the stored mean and variance with a tenth of those of the batch mixed in, as for an
#           update by the momentum of 0.9: no mode has that. One picture gives other numbers by itself than beside
#           others. The three functions take the last axis, as from opset 13 on. ONNX Runtime gives what is expected in
#           all of these, and from opset 14 and 13 on the evaluator does too. Of a matrix a softmax is the same by
#           both rules. No error or warning.
# Why it matters: the evaluator is what exporters and other runtimes are tested with, and older image models are of
#           these opsets. There a right runtime looks wrong.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

random = np.random.default_rng(0)
pictures = random.normal(size=(4, 3, 2, 2)).astype(np.float32)
channels = {name: random.uniform(0.5, 2, 3).astype(np.float32) for name in ("scale", "bias", "mean", "var")}


def model(operator, opset):
    """A model of one node, from `x` and what batch normalization has for each channel to `y`."""
    names = list(channels) if operator == "BatchNormalization" else []
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 2, 2])]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in names]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node(operator, ["x", *names], ["y"])], "graph", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6), names


def normalized(x):
    scale, bias, mean, var = (channel.reshape(1, 3, 1, 1) for channel in channels.values())
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def softmax(x, opset):
    rows = x.reshape(len(x), -1) if opset < 13 else x
    powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).reshape(x.shape)


def hardmax(x, opset):
    rows = x.reshape(len(x), -1) if opset < 13 else x
    return (rows == rows.max(axis=-1, keepdims=True)).astype(np.float32).reshape(x.shape)


rules = {
    "BatchNormalization": lambda x, opset: normalized(x),
    "Softmax": softmax,
    "LogSoftmax": lambda x, opset: np.log(softmax(x, opset)),
    "Hardmax": hardmax,
}
for operator, rule in rules.items():
    for opset in (9, 12, 13, 14):
        made, names = model(operator, opset)
        values = {"x": pictures, **{name: channels[name] for name in names}}
        evaluator = ReferenceEvaluator(made)
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        expected = rule(pictures, opset)
        close = [np.allclose(one.run(None, values)[0], expected, atol=1e-5) for one in (session, evaluator)]
        alone = evaluator.run(None, {**values, "x": pictures[:1]})[0]
        same = np.allclose(alone, evaluator.run(None, values)[0][:1], atol=1e-5)
        print(f"{operator}, opset {opset}: as expected by ONNX Runtime {close[0]}, by the evaluator {close[1]};",
              f"one picture is the same alone {same}")
PYTHON
cat > "$work/expected" <<'TEXT'
BatchNormalization, opset 9: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone False
BatchNormalization, opset 12: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone False
BatchNormalization, opset 13: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone False
BatchNormalization, opset 14: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
Softmax, opset 9: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone True
Softmax, opset 12: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone True
Softmax, opset 13: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
Softmax, opset 14: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
LogSoftmax, opset 9: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone True
LogSoftmax, opset 12: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone True
LogSoftmax, opset 13: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
LogSoftmax, opset 14: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
Hardmax, opset 9: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone True
Hardmax, opset 12: as expected by ONNX Runtime True, by the evaluator False; one picture is the same alone True
Hardmax, opset 13: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
Hardmax, opset 14: as expected by ONNX Runtime True, by the evaluator True; one picture is the same alone True
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
