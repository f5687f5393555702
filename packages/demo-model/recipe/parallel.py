"""Data parallelism over processes of one thread each.

On a CPU this beats one process of several threads: small operations do not wait for each other, and a core that another
program takes for a moment holds the rest up once a step, not once an operation. They meet in shared memory:
torch.distributed's sockets took longer than a small model's step.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

ROOM = 1_000_000  # floats of each process that are summed at once
PATIENCE = 600.0  # seconds until a process that is waited for counts as dead


class Meeting:
    """Where the processes of a team meet; made by their parent."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = torch.multiprocessing.get_context("spawn").Barrier(size)
        # Two halves by turns: while one is read the next sum may be written, so one wait a sum is enough.
        self.room = torch.zeros(2, size, ROOM).share_memory_()


class Team:
    """The processes that train together, and the clock they share; alone without a meeting."""

    def __init__(self, rank: int = 0, meeting: Meeting | None = None) -> None:
        self.rank, self.size, self.meeting = rank, meeting.size if meeting else 1, meeting
        self.start, self.before, self.minutes = time.monotonic(), 0.0, 0.0
        self.half = 0

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
        if not self.meeting:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        for part in flat.split(ROOM):
            room = self.meeting.room[self.half, :, : len(part)]
            self.half = 1 - self.half
            room[self.rank].copy_(part)
            self.wait()
            torch.sum(room, 0, out=part)
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            t.copy_(part.view_as(t))

    def wait(self) -> None:
        """Until all are here: what the leader saves before it, the others can read after it."""
        if self.meeting:
            self.meeting.barrier.wait(PATIENCE)
