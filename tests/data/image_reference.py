"""Writes PyTorch's results, which tests compare with: those of operations on images to image_reference.safetensors,
and those of whole models to convnet.safetensors and resnet.safetensors.

    python tests/data/image_reference.py

needs torch and safetensors. Tests only read the files. Of each operation there are the inputs x0, x1, …, the weights w of the
outputs, the result y, and the gradients g0, g1, … of sum(w * y), all in f64.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from safetensors.torch import save_file

torch.manual_seed(0)
tensors = {}


def case(name, inputs, f):
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = f(*inputs)
    w = torch.randn_like(y)
    (w * y).sum().backward()
    tensors.update({f"{name}.x{i}": x.detach() for i, x in enumerate(inputs)})
    tensors.update({f"{name}.g{i}": x.grad for i, x in enumerate(inputs)})
    tensors.update({f"{name}.w": w, f"{name}.y": y.detach()})


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


x, k, b = randn(2, 2, 6, 5), randn(4, 2, 3, 3), randn(4)
case("conv2d.plain", [x, k, b], lambda x, k, b: F.conv2d(x, k, b))
case("conv2d.strided", [x, k, b], lambda x, k, b: F.relu(F.conv2d(x, k, b, stride=2, padding=1)))
case("conv2d.grouped", [x, k[:, :1], b], lambda x, k, b: F.conv2d(x, k, b, padding=1, groups=2))

x = randn(2, 2, 7, 6)
case("max_pool2d.plain", [x], lambda x: F.max_pool2d(x, 2))
case("max_pool2d.padded", [x], lambda x: F.max_pool2d(x, 3, 2, 1))
case("avg_pool2d.plain", [x], lambda x: F.avg_pool2d(x, 2))
case("avg_pool2d.padded", [x], lambda x: F.avg_pool2d(x, 3, 2, 1))
case("adaptive_avg_pool2d.one", [x], lambda x: F.adaptive_avg_pool2d(x, 1))
case("adaptive_avg_pool2d.uneven", [x], lambda x: F.adaptive_avg_pool2d(x, (3, 4)))

for name, shape in [("batch_norm.1d", (5, 3)), ("batch_norm.2d", (3, 3, 4, 2))]:
    x, weight, bias = randn(*shape), randn(3), randn(3)
    mean, var = randn(3), torch.rand(3, dtype=torch.float64) + 0.5
    tensors.update({f"{name}.mean": mean.clone(), f"{name}.var": var.clone()})
    case(f"{name}.evaluation", [x, weight, bias], lambda x, w, b: F.batch_norm(x, mean, var, w, b))
    case(f"{name}.training", [x, weight, bias], lambda x, w, b: F.batch_norm(x, mean, var, w, b, training=True))
    tensors.update({f"{name}.mean_after": mean, f"{name}.var_after": var})

tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
save_file(tensors, Path(__file__).with_name("image_reference.safetensors"))


class Block(nn.Module):
    """The basic block of torchvision's ResNet."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        around = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + around)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(4, 4, 1))
        self.layer2 = nn.Sequential(Block(4, 6, 2), Block(6, 6, 1))
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        x = self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.ReLU()),
            *(nn.Conv2d(4, 5, 3, 1, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(5, 6, 2, 1, 1), nn.ReLU(), nn.AvgPool2d(2, 1)),
        )
        self.classifier = nn.Sequential(nn.Linear(6 * 3 * 3, 7), nn.ReLU(), nn.Dropout(0), nn.Linear(7, 3))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def model(name, model, channels):
    """Weights, images x, classes y, what the model puts out for them, and its weights after one step of SGD."""
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.data.normal_()
        norm.running_var.uniform_(0.5, 2)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x, y = torch.randn(8, channels, 8, 8), torch.randint(0, 3, (8,))
    outputs = model.eval()(x)
    tensors.update({"x": x, "y": y, "outputs": outputs.detach().clone()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model.train()(x), y).backward()
    optimizer.step()
    tensors.update({f"after.{name}": tensor for name, tensor in model.state_dict().items()})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, Path(__file__).with_name(name))


model("convnet.safetensors", ConvNet(), 1)
model("resnet.safetensors", ResNet(), 3)
