"""PyTorch in benches/ranks/against-pytorch: trains W2 or W4 and says how many rows a second.

    ddp.py W2|W4 ROWS SECONDS           # in one process, or in those that torch.distributed.run starts, with gloo

ROWS is the batch of all processes. Model, optimizer and loss are those of benches/versus/pytorch.
"""

import os
import pathlib
import sys
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "versus" / "pytorch"))
from contestant import WORKLOADS

BATCHES = 8
WARM_UP = 10


def batches(workload, rows):
    torch.manual_seed(1)
    for _ in range(BATCHES):
        if workload == "W2":
            yield torch.rand(rows, 784), torch.randint(10, (rows,))
        else:
            yield torch.randint(65, (rows, 64)), torch.randint(65, (rows, 64))


def main():
    workload, rows, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    if world <= len(cores):
        os.sched_setaffinity(0, {cores[rank]})
    make, loss_of, optimizer_of = WORKLOADS[workload]
    torch.manual_seed(0)
    model = make()
    if world > 1:
        dist.init_process_group("gloo")
        # The buffers are constants.
        model = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = optimizer_of(model.parameters())
    data = list(batches(workload, rows // world))

    def step(number):
        x, y = data[number % BATCHES]
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    for number in range(WARM_UP):
        step(number)
    # All stop after the same step: the first process decides, and as many steps follow as fit the time.
    began = time.perf_counter()
    for number in range(WARM_UP):
        step(number)
    count = torch.tensor(max(1, int(seconds * WARM_UP / (time.perf_counter() - began))))
    if world > 1:
        dist.broadcast(count, 0)
        dist.barrier()
    began = time.perf_counter()
    for number in range(count.item()):
        step(number)
    took = time.perf_counter() - began
    if rank == 0:
        print(f"{rows * count.item() / took:.1f}")
    if world > 1:
        dist.destroy_process_group()


main()
