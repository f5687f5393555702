"""Data parallelism over processes of one thread each.

On a CPU this beats one process of several threads: small operations do not wait for each other, and a core that another
program takes for a moment holds the rest up once a step, not once an operation.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor


class Team:
    """The processes that train together, and the clock they share."""

    def __init__(self, rank: int, size: int, rendezvous: Path) -> None:
        self.rank, self.size = rank, size
        self.start, self.before, self.minutes = time.monotonic(), 0.0, 0.0
        if size > 1:
            dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def begin(self, minutes_before: float) -> None:
        self.start, self.before, self.minutes = time.monotonic(), minutes_before, minutes_before

    def average(self, parameters: list[Tensor]) -> None:
        """Average the gradients in place. The leader's clock travels along, so that all stop at the same step."""
        now = self.before + (time.monotonic() - self.start) / 60
        if self.size == 1:
            self.minutes = now
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        clock = grads[0].new_full((1,), now if self.leads else 0.0)
        self.add([*grads, clock])
        torch._foreach_div_(grads, self.size)
        self.minutes = float(clock)

    def add(self, tensors: list[Tensor]) -> None:
        """Sum over the processes, in place."""
        if self.size == 1:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        dist.all_reduce(flat)
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            t.copy_(part.view_as(t))

    def wait(self) -> None:
        """Until all are here: what the leader saves before it, the others can read after it."""
        if self.size > 1:
            dist.barrier()
