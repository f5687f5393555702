"""Stage 1: the vision tower, taught by dense heads.

What CLIP is to LLaVA, this tower is to the demo models: trained once, then frozen and shared by all of them, until the
one that ships goes on alone. Each patch learns what covers it (kind, colour, size, box, word) and its place among the
others. The heads are dropped afterwards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import UNASKED, SceneBatches, loader, normalise
from .device import device, half_precision
from .folder import read
from .kinds import COLOUR_NAMES, KINDS, WORDS
from .loop import Log, Mean, optimisers, save, schedule, seed, set_rate
from .model import ModelConfig, VisionModel
from .parallel import Team
from .world import MAX_OBJECTS, SIZE_NAMES

# Columns of the labels' `attributes`: the head's width and its weight.
ATTRIBUTES: dict[str, tuple[int, float]] = {
    "kind": (len(KINDS), 2.0),
    "colour": (len(COLOUR_NAMES) + 1, 1.0),
    "size": (len(SIZE_NAMES), 0.4),
    "rank_x": (MAX_OBJECTS, 0.25),
    "rank_y": (MAX_OBJECTS, 0.25),
    "same_kind": (MAX_OBJECTS, 0.3),
    "same_colour": (MAX_OBJECTS, 0.15),
    "word": (len(WORDS), 0.7),
}
OTHERS = {"object": 1, "centre": 1, "box": 4, "extreme": 6}
VALIDATION_SEED = 999_983  # scenes that training never sees


class Tower(nn.Module):
    """The vision tower by its on-device names, and the heads over its patches."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.vision_tower = nn.Module()
        self.vision_tower.vision_model = VisionModel(c)
        begin(self.vision_tower.vision_model, c)
        self.widths = {name: width for name, (width, _) in ATTRIBUTES.items()} | OTHERS
        self.norm = nn.LayerNorm(c.vision_width)
        self.heads = nn.Linear(c.vision_width, sum(self.widths.values()))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Pixels [B, 3, h, w] to the logits of each head, [B, P, width]."""
        out = self.heads(self.norm(self.vision_tower.vision_model(pixels)))
        return dict(zip(self.widths, out.split(list(self.widths.values()), -1)))


@torch.no_grad()
def begin(model: VisionModel, c: ModelConfig) -> None:
    """Start as trained towers look: positions as sines and cosines, queries that find their like, values that leave
    (Trockman and Kolter 2023, "Mimetic initialization of self-attention layers"). A small tower on little data
    gains much."""
    exponents = torch.arange(c.vision_width // 4)[:, None] * 4 / c.vision_width
    at = torch.arange(c.grid) * c.grid**-exponents  # [C / 4, grid]
    wave = torch.cat([at.sin(), at.cos()]).T  # [grid, C / 2]
    rows, columns = wave.repeat_interleave(c.grid, 0), wave.repeat(c.grid, 1)
    model.embeddings.position_embedding.weight[1:] = torch.cat([rows, columns], 1)
    width, dim = c.vision_width, c.vision_width // c.vision_heads
    for layer in model.encoder.layers:
        attention = layer.self_attn
        for h in range(c.vision_heads):
            mine = slice(h * dim, (h + 1) * dim)
            u, s, v = torch.linalg.svd(0.7 * torch.randn(width, width) / width**0.5 + 0.7 * torch.eye(width))
            attention.q_proj.weight[mine] = (u[:, :dim] * s[:dim].sqrt()).T
            attention.k_proj.weight[mine] = v[:dim] * s[:dim].sqrt()[:, None]
        u, s, v = torch.linalg.svd(0.4 * torch.randn(width, width) / width**0.5 - 0.4 * torch.eye(width))
        attention.v_proj.weight.copy_(v * s.sqrt()[:, None])
        attention.out_proj.weight.copy_(u * s.sqrt())


def patch_loss(heads: dict[str, Tensor], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The loss over all patches, and figures for the log: shares of patches, weighted as in the loss."""
    heads = {name: logits.flatten(0, 1).float() for name, logits in heads.items()}
    owner = batch["owner"].flatten()
    inside = (owner >= 0).nonzero()[:, 0]
    weight = batch["weight"].flatten()[inside]
    weight = weight / weight.sum()
    seen = (owner >= 0).float()
    loss = F.binary_cross_entropy_with_logits(heads["object"][:, 0], seen)
    loss = loss + 2 * F.binary_cross_entropy_with_logits(heads["centre"][:, 0], batch["centre"].flatten())
    labels = batch["attributes"].flatten(0, 1)[inside]
    figures: dict[str, float] = {}
    for i, (name, (_, importance)) in enumerate(ATTRIBUTES.items()):
        asked = (labels[:, i] != UNASKED).nonzero()[:, 0]
        if len(asked) == 0:
            continue
        logits, label, share = heads[name][inside][asked], labels[asked, i], weight[asked] / weight[asked].sum()
        loss = loss + importance * (share * F.cross_entropy(logits, label, reduction="none")).sum()
        figures[name] = (share * (logits.argmax(-1) == label)).sum().item()
    box_error = (weight[:, None] * (heads["box"][inside] - batch["boxes"].flatten(0, 1)[inside]).abs()).sum() / 4
    loss = loss + 8 * box_error
    extreme = batch["extreme"].flatten(0, 1)[inside]
    asked = (extreme[:, 0] != UNASKED).nonzero()[:, 0]
    if len(asked):
        loss = loss + 0.5 * F.binary_cross_entropy_with_logits(heads["extreme"][inside][asked], extreme[asked])
    figures["object"] = ((heads["object"][:, 0] > 0) == (seen > 0)).float().mean().item()
    figures["box_error"] = box_error.item()
    return loss, figures


@torch.inference_mode()
def validate(tower: Tower, config: ModelConfig, held_out: bool, scenes: int) -> dict[str, float]:
    """Shares of unseen *objects* whose kind, colour, size or word is right by the sum of their patches' logits, and the
    share whose mean box has IoU >= 0.5."""
    size = min(scenes, 16)
    batches = iter(SceneBatches(VALIDATION_SEED + held_out, size, config, held_out=held_out))
    right: dict[str, list[float]] = {name: [] for name in ("kind", "colour", "size", "word", "box")}
    for _ in range(scenes // size):
        batch = {k: v.to(device()) for k, v in next(batches).items()}
        heads = tower(normalise(batch["pixels"]))
        for b, owner in enumerate(batch["owner"]):
            for i in owner[owner >= 0].unique().tolist():
                mine = owner == i
                label = dict(zip(ATTRIBUTES, batch["attributes"][b][mine][0].tolist()))
                for name in ("kind", "colour", "size", "word"):
                    if label[name] != UNASKED:
                        scores = heads[name][b][mine].log_softmax(-1).sum(0)
                        right[name].append(float(int(scores.argmax()) == label[name]))
                right["box"].append(float(iou(heads["box"][b][mine].mean(0), batch["boxes"][b][mine][0]) >= 0.5))
    suffix = "_held_out" if held_out else "_trained"
    return {name + suffix: sum(v) / len(v) for name, v in right.items() if v}


@torch.no_grad()
def follow(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move the running average of the weights towards the model's."""
    state = model.state_dict()
    torch._foreach_lerp_([average[k] for k in average], [state[k] for k in average], 1 - decay)


def iou(a: Tensor, b: Tensor) -> float:
    size = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp_min(0)
    shared = size.prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("stage 1")
    group.add_argument("--tower", type=Path, help="an on-device folder whose tower to begin with")
    group.add_argument("--vision-minutes", type=float, default=240)
    group.add_argument("--vision-batch", type=int, default=32, help="scenes a step")
    group.add_argument("--vision-rate", type=float, default=1.5e-3)
    group.add_argument("--vision-block-rate", type=float, default=4e-3, help="of the blocks' matrices, by Muon")
    group.add_argument(
        "--vision-plateau", type=float, default=0.4, help="share of the stage before the rate goes down"
    )
    group.add_argument("--sheets", type=float, default=0.75, help="share of pictures that are sheets of many objects")
    group.add_argument("--uses", type=int, default=3, help="times that a picture is shown, about; once where workers make them")
    group.add_argument("--vision-check", type=float, default=6, help="minutes between two validations")


def train_vision(config: ModelConfig, args: argparse.Namespace, team: Team) -> None:
    """Until `--vision-minutes` are used; goes on from RUN/vision.pt."""
    run, minutes, size = args.run, args.vision_minutes, args.vision_batch
    tower = Tower(config).to(device())
    if args.tower:
        own = "vision_tower."
        tower.vision_tower.load_state_dict({k.removeprefix(own): v for k, v in read(args.tower, own).items()})
    named = dict(tower.named_parameters())
    opts = optimisers(named, 0.03, team)
    path = run / "vision.pt"
    step, used = 0, 0.0
    average = {k: v.clone() for k, v in tower.state_dict().items()}
    if path.exists():
        state = torch.load(path, weights_only=True, map_location=device())
        tower.load_state_dict(state["model"])
        for opt, saved in zip(opts, state["optimisers"]):
            opt.load_state_dict(saved)
        step, used, average = state["step"], state["minutes"], state["average"]
    log, mean = Log(run / "vision.csv", team), Mean()
    team.begin(used)
    saved, checked = used, used
    batches = SceneBatches(
        seed(step, team), size // team.size, config, crowded=True, sheets=args.sheets,
        uses=args.uses if args.workers == 0 else 1,
    )
    for batch in loader(batches, args.workers):
        elapsed = team.minutes
        progress = elapsed / minutes
        done = progress >= 1
        if team.leads and (done or elapsed - saved > 2):
            saved = elapsed
            state = {"model": tower.state_dict(), "average": average, "step": step, "minutes": elapsed}
            save(path, {**state, "optimisers": [opt.state_dict() for opt in opts]})
        if team.leads and (done or elapsed - checked > args.vision_check):
            checked = elapsed
            now = tower.state_dict()
            now = {k: v.clone() for k, v in now.items()}
            tower.load_state_dict(average)
            figures: dict[str, float] = {}
            for held_out in (False, True):
                figures |= validate(tower, config, held_out, args.validate_scenes)
            tower.load_state_dict(now)
            log.write("vision", step, step * size, elapsed, figures)
            print(f"check {elapsed:.1f} min", " ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
        if done:
            return
        for opt, rate in zip(opts, (args.vision_block_rate, args.vision_rate)):
            set_rate(opt, rate * schedule(progress, 0.03, args.vision_plateau))
        batch = {k: v.to(device()) for k, v in batch.items()}
        with half_precision():
            heads = tower(normalise(batch["pixels"]))
        loss, figures = patch_loss(heads, batch)
        for opt in opts:
            opt.zero_grad(set_to_none=True)
        loss.backward()
        team.average(list(named.values()))
        torch.nn.utils.clip_grad_norm_(named.values(), 2.0)
        for opt in opts:
            opt.step()
        step += 1
        follow(average, tower, min(0.998, (1 + step) / (10 + step)))
        mean.add({"loss": loss.item(), **figures})
        if step % 50 == 0 and team.leads:
            means = mean.take()
            log.write("vision", step, step * size, elapsed, means)
            print(f"vision {step} {elapsed:.1f} min", " ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)
