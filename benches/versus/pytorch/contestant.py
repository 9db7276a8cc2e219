"""PyTorch in the bench: one process that trains a workload, or saves and loads, on request.

    contestant.py steps W2 START THREADS eager|compile [cpu|cuda|cuda:1]
    contestant.py storage MEGABYTES
    contestant.py prepare FOLDER        # a state to resume, and its data
    contestant.py resume FOLDER         # says "done" after the first step

It prints one line of JSON when it is ready, and one for each line of words that it reads.
"""

import json
import os
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

TOLD = int(os.environ.get("VERSUS_TOLD", 20))
WARM_UP = 1.0

# As Rekindle multiplies: in the type of the numbers, added up in f32.
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def mlp(*widths):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)
        )
        self.classifier = nn.Sequential(nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class ResidualBlock(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        around = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += around
        return self.relu(x)


class ResNet(nn.Module):
    """ResNet-20 for images of one channel."""

    def __init__(self, widths=(16, 32, 64), depth=3):
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        inputs = widths[0]
        for stage, width in enumerate(widths, 1):
            blocks = []
            for block in range(depth):
                blocks.append(ResidualBlock(inputs, width, 2 if stage > 1 and block == 0 else 1))
                inputs = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        rows, context, width = x.shape
        q, k, v = (
            part.view(rows, context, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(rows, context, width))


class Feedforward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.ln_2, self.mlp = nn.LayerNorm(width), Feedforward(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, vocabulary=65, context=64, width=128, layers=4, heads=4):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.register_buffer("positions", torch.arange(context), persistent=False)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(self.positions)
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


def cross_entropy(outputs, targets):
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


# Fused AdamW is the fastest that PyTorch has; for the few parameters of W1 its plain SGD is.
def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, fused=True)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


# Model, loss and optimizer of each workload.
WORKLOADS = {
    "W1": (lambda: mlp(10, 32, 1), F.mse_loss, sgd),
    "W2": (lambda: mlp(784, 1024, 1024, 10), cross_entropy, adamw),
    "W3": (ConvNet, cross_entropy, adamw),
    "W4": (Gpt, cross_entropy, adamw),
    "W5": (lambda: Gpt(65, 256, 384, 6, 6), cross_entropy, adamw),
    "W6": (ResNet, cross_entropy, adamw),
    "W7": (lambda: mlp(784, 4096, 4096, 10), cross_entropy, adamw),
    "GPT-124M": (lambda: Gpt(50304, 1024, 768, 12, 12), cross_entropy, adamw),
}

# The largest norm of the gradients, where they are clipped.
CLIP_NORM = {"W5": 1.0, "W7": 1.0}


def described(workload):
    """Model, loss and optimizer. `MLP-1024x128` and `GPT-384x256x8` are points of the table of sizes."""
    if workload in WORKLOADS:
        return WORKLOADS[workload]
    kind, _, sizes = workload.partition("-")
    match kind, [int(size) for size in sizes.split("x")]:
        case "MLP", [width, _]:
            return lambda: mlp(784, width, width, 10), cross_entropy, adamw
        case "GPT", [width, context, _]:
            return lambda: Gpt(65, context, width, 2, width // 64), cross_entropy, adamw
    raise ValueError(f"there is no workload {workload}")


class Training:
    """A model in training, and its data."""

    def __init__(self, workload, start, compiled, device):
        self.device = torch.device(device)
        tensors = load_file(start, device=device)
        x, y = tensors.pop("x"), tensors.pop("y")
        as_classes = lambda t: t if t.is_floating_point() else t.long()
        self.batches = list(zip(as_classes(x).unbind(), as_classes(y).unbind()))
        # Products in bf16, with weights in f32; the large GPT's on a GPU alone, as Rekindle does.
        base = workload.removesuffix("-bf16")
        short = base != workload or (base == "GPT-124M" and self.device.type != "cpu")
        model, loss, optimizer = described(base)
        torch.manual_seed(0)
        self.model = model().to(self.device)
        self.load(tensors)
        self.optimizer = optimizer(self.model.parameters())

        def loss_of(x, y):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
                return loss(self.model(x), y)

        # A context that does nothing still costs a small model time.
        self.loss = loss_of if short else lambda x, y: loss(self.model(x), y)
        self.update = self.optimizer.step
        if base in CLIP_NORM:
            parameters, max_norm = list(self.model.parameters()), CLIP_NORM[base]

            def clip_and_update():
                torch.nn.utils.clip_grad_norm_(parameters, max_norm)
                self.optimizer.step()

            self.update = clip_and_update
        if compiled:
            self.loss = torch.compile(self.loss)
            self.update = torch.compile(self.update)
        self.done = 0

    def load(self, weights):
        """The means and variances of batch norms are not among the weights; they keep their first values."""
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        assert not unexpected and not set(missing) & dict(self.model.named_parameters()).keys(), (missing, unexpected)

    def step(self):
        x, y = self.batches[self.done % len(self.batches)]
        self.optimizer.zero_grad()
        loss = self.loss(x, y)
        loss.backward()
        self.update()
        self.done += 1
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    def state(self):
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}


def save(state, path):
    """torch.save, and then to disk."""
    with open(path, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def save_the_only(state, folder, write=save):
    """Saves beside the save before, and then deletes that one: it is not gone before another is there."""
    earlier = os.listdir(folder)
    write(state, os.path.join(folder, f"{time.time_ns()}"))
    for other in earlier:
        os.remove(os.path.join(folder, other))


def the_only(folder):
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def save_safetensors(tensors, path):
    save_file(tensors, path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def answer(value):
    print(json.dumps(value), flush=True)


def time_steps(training, seconds):
    times, began = [], time.perf_counter()
    while True:
        before = time.perf_counter()
        loss = training.step()
        now = time.perf_counter()
        times.append(round((now - before) * 1e6, 1))
        if now - began >= seconds:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"microseconds": times, "loss": loss, "peak_kilobytes": peak}


def launches(training):
    """The kernels that a step puts on the GPU, without copies."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        training.step()
    names = [event.name for event in profiled.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return {"launches": sum(not name.startswith(("Memcpy", "Memset")) for name in names)}


def run(training, steps, every, folder):
    """The seconds that so many steps take with a save before every so many of them; 0 is never."""
    os.makedirs(folder, exist_ok=True)
    began = time.perf_counter()
    for done in range(steps):
        if every and done % every == 0:
            save_the_only(training.state(), folder)
        training.step()
    return {"seconds": time.perf_counter() - began}


def steps(workload, start, threads, variant, device="cpu"):
    torch.set_num_threads(int(threads))
    training = Training(workload, start, variant == "compile", device)
    began = time.perf_counter()
    losses = [training.step() for _ in range(TOLD)]
    while time.perf_counter() - began < WARM_UP:
        training.step()
    answer({"version": torch.__version__, "losses": losses})
    for line in sys.stdin:
        match line.split():
            case ["time", seconds]:
                answer(time_steps(training, float(seconds)))
            case ["run", count, every, folder]:
                answer(run(training, int(count), int(every), folder))
            case ["launches"]:
                answer(launches(training))


def storage(megabytes):
    """Saves and loads weights with the moments of AdamW, by torch and by safetensors."""
    elements = 4 << 20
    count = -(-int(megabytes) * 1_000_000 // 12 // elements)
    values = torch.arange(elements, dtype=torch.float32) / elements
    model = nn.ParameterDict({f"layer{i:02}": nn.Parameter(values + i) for i in range(count)})
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.square().sum() for p in model.parameters()).backward()
    optimizer.step()
    optimizer.zero_grad()

    def state():
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}

    def restore(folder):
        loaded = torch.load(the_only(folder))
        model.load_state_dict(loaded["model"])
        optimizer.load_state_dict(loaded["optimizer"])

    def tensors():
        moments = zip(model, optimizer.state_dict()["state"].values())
        weights = {f"model.{name}": p.detach() for name, p in model.items()}
        return weights | {f"{m}.{name}": s[m] for name, s in moments for m in ("exp_avg", "exp_avg_sq")}

    requests = {
        "save": lambda folder: save_the_only(state(), folder),
        "load": lambda folder: torch.load(the_only(folder)),
        "restore": restore,
        "save-safetensors": lambda folder: save_the_only(tensors(), folder, save_safetensors),
        "load-safetensors": lambda folder: load_file(the_only(folder)),
    }
    answer({"version": torch.__version__, "bytes": 12 * elements * count})
    for line in sys.stdin:
        request, folder = line.split()
        began = time.perf_counter()
        requests[request](folder)
        answer({"seconds": time.perf_counter() - began})


def resumable():
    """The model of W2 with optimizer and scheduler, at its start."""
    model = mlp(784, 1024, 1024, 10)
    optimizer = adamw(model.parameters())
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)


def full_batch_step(parts, folder):
    model, optimizer, scheduler = parts
    data = load_file(f"{folder}/data.safetensors")
    optimizer.zero_grad()
    cross_entropy(model(data["x"]), data["y"].long()).backward()
    optimizer.step()
    scheduler.step()


def prepare(folder):
    parts = resumable()
    full_batch_step(parts, folder)
    torch.save([part.state_dict() for part in parts], f"{folder}/state.pt")


def resume(folder):
    parts = resumable()
    for part, state in zip(parts, torch.load(f"{folder}/state.pt")):
        part.load_state_dict(state)
    full_batch_step(parts, folder)
    print("done", flush=True)


if __name__ == "__main__":
    {"steps": steps, "storage": storage, "prepare": prepare, "resume": resume}[sys.argv[1]](*sys.argv[2:])
