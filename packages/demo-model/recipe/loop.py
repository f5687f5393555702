"""What the stages share: seeds, the log, the schedule, optimisers, checkpoints."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import torch
from torch import nn

from .model import QuantEmbedding, QuantLinear
from .muon import Muon
from .parallel import Team

SEED = 20250705
WIDE = 1024  # columns of a matrix from which on its rate goes down


class Log:
    """A CSV of long form: stage, step, images, minutes, name, value. The team's leader writes it."""

    def __init__(self, path: Path, team: Team) -> None:
        if not team.leads:
            return
        fresh = not path.exists()
        self.file = path.open("a", newline="")
        self.writer = csv.writer(self.file)
        if fresh:
            self.writer.writerow(("stage", "step", "images", "minutes", "name", "value"))

    def write(self, stage: str, step: int, images: int, minutes: float, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.writer.writerow((stage, step, images, f"{minutes:.2f}", name, f"{value:.5f}"))
        self.file.flush()


class Mean:
    """Running means of named figures."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            if not math.isnan(value):
                self.sums.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        out = {name: sum(v) / len(v) for name, v in self.sums.items()}
        self.sums.clear()
        return out


def schedule(progress: float, warmup: float, plateau: float = 0.8, floor: float = 0.02) -> float:
    """Warm-up, a plateau, then a straight way down; `progress` runs 0..1 over the stage."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return max(floor, min(1.0, (1 - progress) / (1 - plateau)))


def optimisers(modules: dict[str, nn.Parameter], decay: float, team: Team) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer blocks, AdamW for the rest.

    AdamW moves all weights of a row alike, so its step moves the row's sum by as much more as the row is longer. The
    spatial features' covering convolutions have rows of up to 36,864: at the rate of the others the spatial tokens
    grew to 74 times the patches', and the decoder learned to look past them. `share` evens that out.
    """
    blocks = [p for n, p in modules.items() if p.ndim == 2 and ".layers." in n]
    chosen = {id(p) for p in blocks}
    rest = [p for p in modules.values() if id(p) not in chosen]
    shares: dict[float, list[nn.Parameter]] = {}
    for p in rest:
        if p.ndim >= 2:
            wide = p.ndim == 2 and p.shape[1] >= WIDE
            shares.setdefault(WIDE / 4 / p.shape[1] if wide else 1.0, []).append(p)
    groups = [{"params": members, "weight_decay": decay, "share": share} for share, members in shares.items()]
    groups.append({"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0, "share": 1.0})
    return [Muon(blocks, team, decay), torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=True)]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


def quantise(model: nn.Module, on: bool) -> None:
    """Switch fake quantisation of what ships: 4 bits, 8 for the token table; the patch embedding stays in half
    precision."""
    for module in model.modules():
        if isinstance(module, QuantLinear):
            module.bits = 4 if on else 0
        elif isinstance(module, QuantEmbedding):
            module.bits = 8 if on else 0


def save(path: Path, state: dict[str, object]) -> None:
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def seed(step: int, team: Team) -> int:
    """The data stream of one process, a fresh one after every resumption."""
    return SEED + 10 * step + team.rank
