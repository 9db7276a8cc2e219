"""A run of plain PyTorch that resumes exactly: `forgets_scheduler.py`, but the scheduler's state is saved and restored.

    train prove --kills 5 --command "python examples/coming-from/remembers_scheduler.py {out}"
"""

import os
import sys

import torch

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
path, unfinished = os.path.join(out, "checkpoint.pt"), os.path.join(out, ".checkpoint.pt")

torch.manual_seed(0)
x = torch.randn(256, 10)
y = x.sum(dim=1, keepdim=True).sin()
model = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=200, gamma=0.5)
step = 0

if os.path.exists(path):
    saved = torch.load(path)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    step = saved["step"]

while step < 1000:
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
    scheduler.step()
    step += 1
    if step % 10 == 0:
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "step": step,
        }
        torch.save(state, unfinished)
        os.replace(unfinished, path)
