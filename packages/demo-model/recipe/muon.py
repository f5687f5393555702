"""Muon for the transformer's matrices: momentum, orthogonalised by Newton-Schulz steps (Jordan et al. 2024).

In a short training it needs clearly fewer steps than AdamW. Scaled to AdamW's usual update size, so one rate serves both.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from .device import has_half
from .parallel import Team


def orthogonalise(x: Tensor, steps: int = 5) -> Tensor:
    """[n, rows, columns], rows <= columns: each matrix with its singular values pushed towards 1, in bfloat16 as its
    authors do, where that is faster: the steps forgive rounding."""
    a, b, c = 3.4445, -4.775, 2.0315
    y = (x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7))
    y = y.bfloat16() if has_half() else y
    for _ in range(steps):
        gram = y @ y.transpose(1, 2)
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.to(x.dtype)


class Muon(torch.optim.Optimizer):
    """The processes of a team share out the matrices, as all have the same gradients."""

    def __init__(
        self, parameters: list[Tensor], team: Team, weight_decay: float, lr: float = 1e-3, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.team = team

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            # Matrices of one shape (either way up) are stacked, so that the many small products are few larger ones.
            stacks: dict[tuple[int, int], list[tuple[Tensor, Tensor, bool]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(momentum, group["momentum"])
                tall = p.shape[0] > p.shape[1]
                update = update.T if tall else update
                stacks[tuple(update.shape)].append((p, update, tall))  # type: ignore[index]
            updates = []
            for members in stacks.values():
                stack = torch.stack([u for _, u, _ in members])
                own = torch.zeros_like(stack)
                own[self.team.rank :: self.team.size] = orthogonalise(stack[self.team.rank :: self.team.size])
                updates.append(own)
            self.team.add(updates)
            for (shape, members), stack in zip(stacks.items(), updates):
                for (p, _, tall), update in zip(members, stack):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update.T if tall else update, alpha=-group["lr"] * 0.2 * shape[1] ** 0.5)
