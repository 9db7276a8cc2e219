"""Writes gpt_reference.safetensors: inputs, results and gradients of PyTorch for the operations in src/ops.

    python tests/data/gpt_reference.py

Needs torch and safetensors. Tests read the file and never run this. For each case `x0`, `x1`, … are the inputs, `w` the
weights with which the result `y` is summed, and `g0`, `g1`, … the gradients of that sum. All numbers are f64.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
torch.manual_seed(7)
tensors = {}


def case(name, f, *inputs):
    inputs = [x.double().requires_grad_() for x in inputs]
    y = f(*inputs)
    w = torch.randn(y.shape, dtype=torch.float64)
    (y * w).sum().backward()
    tensors[f"{name}.y"], tensors[f"{name}.w"] = y.detach().contiguous(), w
    for i, x in enumerate(inputs):
        tensors[f"{name}.x{i}"], tensors[f"{name}.g{i}"] = x.detach().contiguous(), x.grad.contiguous()


def rotate(x, heads, base=10000.0):
    """Rotary positions as Hugging Face's Llama applies them, on `[batch, context, heads * size]`."""
    batch, context, width = x.shape
    size = width // heads
    frequencies = 1.0 / base ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(context, dtype=torch.float64)[:, None] * frequencies
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
    x = x.view(batch, context, heads, size).transpose(1, 2)
    halves = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)
    return (x * cos + halves * sin).transpose(1, 2).reshape(batch, context, width)


def attention(heads, kv_heads):
    def f(q, k, v):
        split = lambda x, n: x.view(x.shape[0], x.shape[1], n, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(
            split(q, heads), split(k, kv_heads), split(v, kv_heads), is_causal=True, enable_gqa=heads != kv_heads
        )
        return y.transpose(1, 2).reshape(q.shape)

    return f


x = 2.5 * torch.randn(4, 10)
case("gelu", F.gelu, x)
case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x)
case("silu", F.silu, x)
case("swiglu", lambda gate, up: F.silu(gate) * up, x, torch.randn(4, 10))
case("softmax", lambda x: F.softmax(x, -1), torch.randn(3, 4, 19))
case("layer_norm", lambda x, w, b: F.layer_norm(x, (21,), w, b, 1e-5), torch.randn(2, 5, 21), torch.randn(21), torch.randn(21))
case("layer_norm_plain", lambda x, w: F.layer_norm(x, (21,), w, None, 1e-5), torch.randn(2, 5, 21), torch.randn(21))
case("rms_norm", lambda x, w: F.rms_norm(x, (21,), w, 1e-6), torch.randn(2, 5, 21), torch.randn(21))
ids = torch.tensor([[3, 0, 3, 6], [1, 3, 2, 0]])
tensors["embedding.ids"] = ids.to(torch.uint32)
case("embedding", lambda w: F.embedding(ids, w), torch.randn(7, 5))
case("rotary", lambda x: rotate(x, 3), torch.randn(2, 6, 3 * 8))
case("attention", attention(4, 4), torch.randn(2, 7, 20), torch.randn(2, 7, 20), torch.randn(2, 7, 20))
case("attention_grouped", attention(4, 2), torch.randn(2, 70, 12), torch.randn(2, 70, 6), torch.randn(2, 70, 6))
targets = torch.tensor([[1, 0, 8], [4, 4, 2]])
tensors["cross_entropy.targets"] = targets.to(torch.uint32)
logits = 3 * torch.randn(2, 3, 9)
loss = lambda smoothing: lambda x: F.cross_entropy(x.view(-1, 9), targets.view(-1), label_smoothing=smoothing)
case("cross_entropy", loss(0.0), logits)
case("cross_entropy_smooth", loss(0.2), logits)
case("linear", F.linear, torch.randn(2, 3, 4), torch.randn(5, 4), torch.randn(5))
save_file(tensors, HERE / "gpt_reference.safetensors")
