"""What a training will cost, measured before it starts: a few steps of each part on one process, thrown away
afterwards."""

from __future__ import annotations

import argparse
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .data import SceneBatches, normalise
from .joint import Learner, Stage, joint_stage, longer_stage, reader_learner
from .joint_loss import JointLoss
from .device import cores, device, half_precision
from .model import ModelConfig
from .parallel import Team
from .segments import QuestionBatches, join, mixture
from .text import Text
from .vision import Tower, patch_loss

SCENES = 2


@dataclass
class Part:
    """One part of a stage: seconds and floating-point operations a scene."""

    name: str
    seconds: float
    work: float


def measure(name: str, step: Callable[[], object]) -> Part:
    """A run behind a first one, which warms up and counts the operations of matrix products."""
    with FlopCounterMode(display=False) as counter:
        step()
    start = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Part(name, (time.perf_counter() - start) / SCENES, counter.get_total_flops() / SCENES)


def millions(*modules: nn.Module) -> float:
    return sum(p.numel() for m in modules for p in m.parameters()) / 1e6


def vision_parts(config: ModelConfig, args: argparse.Namespace) -> tuple[list[Part], Tower]:
    tower = Tower(config).to(device())
    made = SceneBatches(0, SCENES, config, crowded=True, sheets=args.sheets)
    rng = np.random.default_rng(0)
    rows = [made.one(rng) for _ in range(SCENES)]
    batch = {k: v.to(device()) for k, v in made.collate(rows).items()}

    def step() -> None:
        with half_precision():
            heads = tower(normalise(batch["pixels"]))
        patch_loss(heads, batch)[0].backward()

    scenes = measure("making scenes", lambda: [made.one(rng) for _ in range(SCENES)])
    scenes.seconds /= args.uses
    return [scenes, measure("vision tower, learning", step)], tower


def joint_parts(
    config: ModelConfig, text: Text, args: argparse.Namespace, tower: Tower, stage: Stage
) -> tuple[list[Part], list[Learner]]:
    lesson = JointLoss(text, device())
    made = QuestionBatches(0, SCENES, config, text, args.questions, mixture(args.dialogue_share))
    rng = np.random.default_rng(0)
    batch = {k: v.to(device()) for k, v in join([made.one(rng) for _ in range(SCENES)]).items()}
    model = tower.vision_tower.vision_model

    def see() -> torch.Tensor:
        with torch.set_grad_enabled(stage.tower_share > 0), half_precision():
            patches = model(normalise(batch["pixels"]))
        if patches.requires_grad:
            patches.float().sum().backward()
        return patches.detach()

    patches = see()
    parts = [
        measure("making scenes and questions", lambda: [made.one(rng) for _ in range(SCENES)]),
        measure("vision tower, learning" if stage.tower_share else "vision tower, frozen", see),
    ]
    learners = []
    for variant in stage.variants:
        learner = reader_learner(config, variant, args, Team())

        def step() -> None:
            with half_precision():
                loss, _ = lesson(learner.module, patches, batch)
            loss.backward()

        parts.append(measure(variant, step))
        learners.append(learner)
    return parts, learners


def table(parts: list[Part], minutes: float, processes: int, batch: int) -> str:
    seconds, work = sum(p.seconds for p in parts), sum(p.work for p in parts)
    rate = processes / seconds
    lines = [f"    {p.name:28} {1000 * p.seconds:8.1f} ms a scene {p.work / 1e9:8.2f} GFLOP" for p in parts]
    lines.append(
        f"    {rate:.2f} scenes/s on {processes} process(es), {work / 1e9:.1f} GFLOP a scene; in {minutes:.0f} minutes "
        f"about {rate * minutes * 60:,.0f} scenes in {rate * minutes * 60 / batch:,.0f} steps"
    )
    return "\n".join(lines)


def estimate(config: ModelConfig, tokenizer: Tokenizer, args: argparse.Namespace, processes: int) -> str:
    """The cost of all stages asked for, as text. Optimisers and validation come on top, some 10 %."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // processes))
    stages = args.stages.split(",")
    out = [f"{processes} process(es), {device().type}; the parts were measured on one:"]
    parts, tower = vision_parts(config, args)
    bytes_held = 4 * millions(tower)
    if "vision" in stages:
        out.append(f"  stage vision: {millions(tower):.1f} M parameters")
        out.append(table(parts, args.vision_minutes, processes, args.vision_batch))
    joint = [s for s in (joint_stage(args), longer_stage(args)) if s.name in stages]
    for stage in joint:
        parts, learners = joint_parts(config, Text(tokenizer), args, tower, stage)
        sizes = ", ".join(f"{v.module.variant} {millions(v.module):.1f}" for v in learners)
        out.append(
            f"  stage {stage.name}: {sizes} M parameters, each beside the tower's {millions(tower.vision_tower):.1f}"
        )
        out.append(table(parts, stage.minutes, processes, args.joint_batch))
        learning = [v.module for v in learners] + [tower.vision_tower] * (stage.tower_share > 0)
        bytes_held = max(bytes_held, 4 * millions(*learning))
    torch.set_num_threads(threads)
    total = args.vision_minutes * ("vision" in stages) + sum(stage.minutes for stage in joint)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    free = shutil.disk_usage(args.run).free / 1e9
    out.append(
        f"  {total:.0f} minutes in all; memory about {processes * peak * 1.5:.1f} GB; checkpoints {4 * bytes_held:.0f} MB"
        f" (twice while one is written), {free:.0f} GB free; {cores()} cores"
    )
    return "\n".join(out)
