#!/usr/bin/env bash
# ONNX's version converter raises Hardmax to opset 13 as it is, where it means something else.
#
# Packages: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6 (Python 3.11).
# Expected: a converted model computes what the model did, or is refused. Up to opset 12 `Softmax`, `LogSoftmax` and
#           `Hardmax` make a matrix of their input, split at the axis; from 13 on they work along that axis alone. The
#           converter knows: the first two get a node that makes the matrix, and one that undoes it.
# Seen:     Softmax and LogSoftmax give the same numbers after the conversion. Hardmax is left as it is. Of three axes
#           it has one 1 in each row, where it had one in each matrix, and one in each column if it names axis 1, by
#           ONNX Runtime before and after. Along the last axis, and of a matrix, it is the same. The checker finds no
#           fault.
# Why it matters: a choice of one entry in all becomes one in each row, with the right shape and only zeros and ones in
#           it, and the model is raised to a newer opset by tools that do it on the way to something else.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, version_converter

x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


def model(operator, attributes, shape):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], **attributes)], "graph", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


def run(made, values):
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values})[0]


for operator in ("Softmax", "LogSoftmax", "Hardmax"):
    for values, attributes in ((x[0], {}), (x, {}), (x, {"axis": 1}), (x, {"axis": 2})):
        old = model(operator, attributes, values.shape)
        new = version_converter.convert_version(old, 13)
        checker.check_model(new, full_check=True)
        before, after = run(old, values), run(new, values)
        ones = f", {int(before.sum())} ones become {int(after.sum())}" if operator == "Hardmax" else ""
        nodes = " ".join(node.op_type for node in new.graph.node)
        print(f"{operator} of {values.shape}, {attributes or 'no axis'}: {nodes},",
              f"the same {np.allclose(before, after)}{ones}")
PYTHON
cat > "$work/expected" <<'TEXT'
Softmax of (3, 4), no axis: Softmax, the same True
Softmax of (2, 3, 4), no axis: Shape Flatten Softmax Reshape, the same True
Softmax of (2, 3, 4), {'axis': 1}: Shape Flatten Softmax Reshape, the same True
Softmax of (2, 3, 4), {'axis': 2}: Softmax, the same True
LogSoftmax of (3, 4), no axis: LogSoftmax, the same True
LogSoftmax of (2, 3, 4), no axis: Shape Flatten LogSoftmax Reshape, the same True
LogSoftmax of (2, 3, 4), {'axis': 1}: Shape Flatten LogSoftmax Reshape, the same True
LogSoftmax of (2, 3, 4), {'axis': 2}: LogSoftmax, the same True
Hardmax of (3, 4), no axis: Hardmax, the same True, 3 ones become 3
Hardmax of (2, 3, 4), no axis: Hardmax, the same False, 2 ones become 6
Hardmax of (2, 3, 4), {'axis': 1}: Hardmax, the same False, 2 ones become 8
Hardmax of (2, 3, 4), {'axis': 2}: Hardmax, the same True, 6 ones become 6
TEXT
"$work/venv/bin/python" -W ignore "$work/seen.py" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
