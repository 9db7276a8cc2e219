"""Writes loss_reference.safetensors: inputs, values and gradients of PyTorch's losses, made once with torch 2.15.0.

    python tests/data/loss_reference.py

Needs torch and safetensors. Tests read the file and never run this. For each case `x0` and `x1` are outputs and, where
they are values, targets; `y` is the loss, `w` its weight, and `g0`, `g1` the gradients of the weighted loss. Classes are
`targets` of the case. All numbers are f64.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
torch.manual_seed(11)
tensors = {}


def case(name, f, *inputs):
    inputs = [x.detach().clone().double().requires_grad_() for x in inputs]
    y = f(*inputs)
    w = torch.randn(y.shape, dtype=torch.float64)
    (y * w).sum().backward()
    tensors[f"{name}.y"], tensors[f"{name}.w"] = y.detach().contiguous(), w
    for i, x in enumerate(inputs):
        tensors[f"{name}.x{i}"], tensors[f"{name}.g{i}"] = x.detach().contiguous(), x.grad.contiguous()


weights = torch.tensor([0.5, 2.0, 0.0, 1.25, 3.0], dtype=torch.float64)
logits, classes = torch.randn(12, 5).double() * 3, torch.randint(0, 5, (12,))
some = classes.clone()
some[::4] = -100
tensors["classes"] = classes.to(torch.uint32)
tensors["some"] = torch.where(some < 0, 7, some).to(torch.uint32)
tensors["weights"] = weights
case("weighted", lambda x: F.cross_entropy(x, classes, weights), logits)
case("ignored", lambda x: F.cross_entropy(x, some, ignore_index=-100), logits)
case("ignored_smooth", lambda x: F.cross_entropy(x, some, ignore_index=-100, label_smoothing=0.2), logits)
everything = {"weight": weights, "ignore_index": -100, "label_smoothing": 0.2}
case("everything", lambda x: F.cross_entropy(x, some, **everything), logits)
soft = torch.softmax(torch.randn(12, 5).double(), -1)
case("soft", lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), logits, soft)


def focal(x, gamma, weights=None):
    """PyTorch has none: the formula of the paper, with torch's gradients."""
    log_p = F.log_softmax(x, -1).gather(1, classes[:, None])[:, 0]
    loss = (1 - log_p.exp()) ** gamma * -log_p
    return (loss if weights is None else loss * weights[classes]).mean()


case("focal", lambda x: focal(x, 2.0), logits)
case("focal_weighted", lambda x: focal(x, 1.5, weights), logits)

outputs, targets = torch.randn(9, 3).double() * 2, torch.randn(9, 3).double()
targets[0] = outputs[0]
case("absolute", F.l1_loss, outputs, targets)
case("huber", lambda x, t: F.huber_loss(x, t, delta=0.7), outputs, targets)
counts = torch.poisson(torch.full((9, 3), 3.0)).double()
case("poisson", lambda x, t: F.poisson_nll_loss(x, t), outputs, counts)

labels = (torch.rand(9, 3) < 0.4).double()
positive = torch.tensor([0.5, 4.0, 1.0], dtype=torch.float64)
tensors["labels"], tensors["positive"] = labels, positive
case("labels", lambda x: F.binary_cross_entropy_with_logits(x, labels), outputs)
case("labels_weighted", lambda x: F.binary_cross_entropy_with_logits(x, labels, pos_weight=positive), outputs)
smooth = labels * 0.8 + 0.1
case("labels_smooth", lambda x: F.binary_cross_entropy_with_logits(x, smooth, pos_weight=positive), outputs)

save_file(tensors, HERE / "loss_reference.safetensors")
