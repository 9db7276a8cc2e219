"""Writes the cases `asgd_exponential` and `adafactor_cosine`, with PyTorch 2.15 and safetensors.

    python tests/peers/cases/torch/make.py

Ten updates, a checkpoint, everything built again and loaded, and ten more. The cases without a script here were made in the
same way.
"""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
DATA = load_file(HERE.parent / "data.safetensors")
TORCH_THREADS = 1

CASES = {
    "asgd_exponential": (
        "eta and mu are tensors of one number, and ax is an average that begins after 5 updates",
        lambda parameters: torch.optim.ASGD(parameters, lr=0.05, lambd=0.01, t0=5.0, weight_decay=0.01),
        lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95),
    ),
    "adafactor_cosine": (
        "mean squares of rows and columns; eps is (None, 0.001), whose first number follows from the type of the weights",
        lambda parameters: torch.optim.Adafactor(parameters, lr=0.05, weight_decay=0.1, d=2.0),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30),
    ),
}


def build(make_optimizer, make_scheduler):
    model = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    model.load_state_dict(load_file(HERE.parent / "start.safetensors"))
    optimizer = make_optimizer(model.parameters())
    return model, optimizer, make_scheduler(optimizer)


def update(model, optimizer, scheduler):
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(DATA["x"]), DATA["y"])
    loss.backward()
    optimizer.step()
    scheduler.step()
    return rates, loss.item()


def case(name):
    about, *makers = CASES[name]
    first = build(*makers)
    for _ in range(10):
        update(*first)
    parts = dict(zip(["model", "optimizer", "scheduler"], first))
    torch.save({part: it.state_dict() for part, it in parts.items()} | {"step": 10}, HERE / f"{name}.pt")

    saved = torch.load(HERE / f"{name}.pt")
    model, optimizer, scheduler = build(*makers)
    for part, it in zip(["model", "optimizer", "scheduler"], [model, optimizer, scheduler]):
        it.load_state_dict(saved[part])
    settings = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
    continues = []
    for number in range(10, 20):
        (rates, loss) = update(model, optimizer, scheduler)
        continues.append({"update": number, "lr": rates, "loss": loss})
        assert (rates, loss) == update(*first), "PyTorch's own resume differs"
    save_file(model.state_dict(), HERE / f"{name}.after.safetensors")
    return {
        "case": name,
        "file": f"{name}.pt",
        "after": f"{name}.after.safetensors",
        "about": about,
        "shapes": {key: list(tensor.shape) for key, tensor in model.state_dict().items()},
        "optimizer": type(optimizer).__name__,
        "groups": [{"names": list(model.state_dict())} | settings],
        "scheduler": type(scheduler).__name__,
        "updates_done": 10,
        "continues": continues,
        "unbroken": True,
    }


def main():
    torch.set_num_threads(TORCH_THREADS)
    path = HERE / "expected.json"
    expected = json.loads(path.read_text())
    kept = [one for one in expected["cases"] if one["case"] not in CASES]
    expected["cases"] = kept + [case(name) for name in CASES]
    path.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
