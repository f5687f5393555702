"""Train the demo model: `python -m recipe.train --run DIR`. Seeded, resumable, by stages with a budget of minutes each.

1. `vision`: vision tower, SFE and DFI under dense auxiliary heads (no decoder).
2. `joint`: everything, on packed questions and answers; its last part with fake quantisation of what ships.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
from pathlib import Path

import torch
from torch import Tensor

from .data import SceneBatches, loader, normalise
from .losses import auxiliary_loss, coordinate_targets, joint_loss
from .model import LlavaSp, ModelConfig, QuantEmbedding, QuantLinear
from .muon import Muon
from .packing import JointBatches
from .parallel import Team
from .text import Text, load_or_build

SEED = 20250705


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Log:
    """A CSV of long form: stage, step, images, minutes, name, value."""

    def __init__(self, path: Path) -> None:
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


def optimisers(modules: dict[str, torch.nn.Parameter], decay: float, team: Team) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer blocks, AdamW for the rest."""
    blocks = [p for n, p in modules.items() if p.ndim == 2 and ".layers." in n]
    chosen = {id(p) for p in blocks}
    rest = [p for p in modules.values() if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [Muon(blocks, team, decay), torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=True)]


def sees(name: str) -> bool:
    """Whether a parameter belongs to the vision side, which stage 1 trains."""
    return not name.startswith(("language_model", "multi_modal_projector", "spatial_features.projector"))


def save(path: Path, state: dict[str, object]) -> None:
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def seed(step: int, team: Team) -> int:
    """The data stream of one process, a fresh one after every resumption."""
    return SEED + 10 * step + team.rank


def train_vision(
    model: LlavaSp, run: Path, minutes: float, rate: float, batch_size: int, workers: int, team: Team
) -> None:
    """Stage 1."""
    named = {n: p for n, p in model.named_parameters() if sees(n)}
    parameters = list(named.values())
    opts = optimisers(named, 0.02, team)
    path = run / "vision.pt"
    step, used = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        own = model.state_dict()
        model.load_state_dict({k: v for k, v in state["model"].items() if v.shape == own[k].shape}, strict=False)
        for opt, saved in zip(opts, state["optimisers"]):
            opt.load_state_dict(saved)
        step, used = state["step"], state["minutes"]
    log, mean = Log(run / "log.csv"), Mean()
    team.begin(used)
    last = used
    for batch in loader(SceneBatches(seed(step, team), batch_size // team.size, crowded=True), workers):
        elapsed = team.minutes
        progress = elapsed / minutes
        done = progress >= 1
        if team.leads and (done or elapsed - last > 2):
            last = elapsed
            state = {"model": model.state_dict(), "step": step, "minutes": elapsed}
            save(path, {**state, "optimisers": [opt.state_dict() for opt in opts]})
        if done:
            return
        for opt in opts:
            for group in opt.param_groups:
                group["lr"] = rate * schedule(progress, 0.04)
        batch = {k: v.to(device()) for k, v in batch.items()}
        patches, spatial = model.see(normalise(batch["pixels"]))
        loss, figures = auxiliary_loss(model, patches, spatial, batch)
        for opt in opts:
            opt.zero_grad(set_to_none=True)
        loss.backward()
        team.average(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        for opt in opts:
            opt.step()
        step += 1
        mean.add({"loss": loss.item(), **figures})
        if step % 50 == 0 and team.leads:
            means = mean.take()
            log.write("vision", step, step * batch_size, elapsed, means)
            print(f"vision {step} {elapsed:.1f} min", " ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)


def quantise(model: LlavaSp, on: bool) -> None:
    """Switch fake quantisation of what ships: 4 bits, 8 for the token table; the patch embedding stays in half precision."""
    for module in model.modules():
        if isinstance(module, QuantLinear):
            module.bits = 4 if on else 0
        elif isinstance(module, QuantEmbedding):
            module.bits = 8 if on else 0


@torch.no_grad()
def sharpen(model: LlavaSp, layer: int, heads: int, gain: float = 3.0) -> None:
    """Start the guided heads with sharp attention. From a flat start their scores need most of a short training to grow:
    words and patches already agreed, and the look-up came within minutes of this."""
    attention = model.language_model.model.layers[layer].self_attn
    attention.q_proj.weight[: heads * attention.dim] *= gain


@torch.no_grad()
def follow(average: dict[str, Tensor], model: LlavaSp, decay: float) -> None:
    state = model.state_dict()
    torch._foreach_lerp_([average[k] for k in average], [state[k] for k in average], 1 - decay)


def train_joint(model: LlavaSp, text: Text, run: Path, args: argparse.Namespace, team: Team) -> None:
    """Stage 2: questions and answers, at last with fake quantisation."""
    minutes, size = args.joint_minutes, args.joint_batch
    named = dict(model.named_parameters())
    opts = [(o, args.joint_vision_rate) for o in optimisers({n: p for n, p in named.items() if sees(n)}, 0.02, team)]
    muon, adam = optimisers({n: p for n, p in named.items() if not sees(n)}, 0.05, team)
    opts += [(muon, args.decoder_rate), (adam, args.joint_rate)]
    path = run / "joint.pt"
    coordinates = torch.tensor(text.coordinates, device=device())
    names = [torch.tensor(ids, device=device()) for ids in text.names]
    table = coordinate_targets(coordinates, model.config.vocab_size, sigma=1.5)
    step, used = 0, 0.0
    if not path.exists():
        sharpen(model, args.guide_layer, args.guide_heads + 1)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        for (opt, _), saved in zip(opts, state["optimisers"]):
            opt.load_state_dict(saved)
        step, used, average = state["step"], state["minutes"], state["average"]
    log, mean = Log(run / "log.csv"), Mean()
    team.begin(used)
    last = used
    batches = JointBatches(
        seed(1_000_000 + step, team), size // team.size, text, model.config.visual_tokens, args.questions
    )
    for batch in loader(batches, args.workers):
        elapsed = team.minutes
        progress = elapsed / minutes
        done = progress >= 1
        if team.leads and (done or elapsed - last > 2):
            last = elapsed
            state = {"model": model.state_dict(), "average": average, "step": step, "minutes": elapsed}
            save(path, {**state, "optimisers": [opt.state_dict() for opt, _ in opts]})
        if done:
            return
        quantised = progress >= args.quantise_from
        quantise(model, quantised)
        for opt, rate in opts:
            for group in opt.param_groups:
                group["lr"] = rate * schedule(progress, 0.03)
        batch = {k: v.to(device()) for k, v in batch.items()}
        patches, spatial = model.see(normalise(batch["pixels"]))
        auxiliary, seen = auxiliary_loss(model, patches, spatial, batch)
        answer, teaching, figures = joint_loss(
            model,
            batch,
            patches,
            spatial,
            len(text.head),
            table,
            coordinates,
            names,
            args.guide_layer,
            args.guide_heads,
        )
        loss = answer + args.auxiliary_weight * auxiliary + args.teaching_weight * teaching
        for opt, _ in opts:
            opt.zero_grad(set_to_none=True)
        loss.backward()
        team.average(list(model.parameters()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        for opt, _ in opts:
            opt.step()
        step += 1
        follow(average, model, min(0.99, (1 + step) / (10 + step)))
        mean.add(
            {
                **figures,
                **{f"seen_{k}": v for k, v in seen.items() if k in ("colour", "shape", "box_error", "count_some")},
            }
        )
        if step % 50 == 0 and team.leads:
            means = mean.take()
            log.write("quantised" if quantised else "joint", step, step * size, elapsed, means)
            print(f"joint {step} {elapsed:.1f} min", " ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints, the tokenizer and the log")
    parser.add_argument("--stages", default="vision,joint")
    parser.add_argument("--vision-minutes", type=float, default=35)
    parser.add_argument("--vision-batch", type=int, default=32)
    parser.add_argument("--vision-rate", type=float, default=1.8e-3)
    parser.add_argument("--joint-minutes", type=float, default=70)
    parser.add_argument("--joint-batch", type=int, default=16)
    parser.add_argument("--joint-rate", type=float, default=1.5e-3)
    parser.add_argument(
        "--decoder-rate", type=float, default=3e-3, help="of the decoder's blocks; the rest has --joint-rate"
    )
    parser.add_argument("--joint-vision-rate", type=float, default=5e-4)
    parser.add_argument("--auxiliary-weight", type=float, default=0.5)
    parser.add_argument("--teaching-weight", type=float, default=0.4)
    parser.add_argument("--questions", type=int, default=8, help="questions a picture")
    parser.add_argument(
        "--quantise-from",
        type=float,
        default=0.92,
        help="share of the joint stage after which weights are fake-quantised",
    )
    parser.add_argument("--guide-layer", type=int, default=2)
    parser.add_argument("--guide-heads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=0, help="0: one a core on a CPU, one on a GPU")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    size = args.processes or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    print(
        f"This takes about {args.vision_minutes + args.joint_minutes:.0f} minutes: {size} process(es), {device().type}.",
        flush=True,
    )
    load_or_build(args.run / "tokenizer.json")
    rendezvous = args.run / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    if size == 1:
        work(0, 1, rendezvous, args)
    else:
        torch.multiprocessing.spawn(work, (size, rendezvous, args), nprocs=size)


def work(rank: int, size: int, rendezvous: Path, args: argparse.Namespace) -> None:
    """One process of the team; all start from the same seed and stay equal."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if size > 1 else os.cpu_count() or 1)
    team = Team(rank, size, rendezvous)
    args.workers = 0 if size > 1 else 4
    tokenizer = load_or_build(args.run / "tokenizer.json")
    model = LlavaSp(ModelConfig(vocab_size=tokenizer.get_vocab_size())).to(device())
    stages = args.stages.split(",")
    if "vision" in stages:
        train_vision(model, args.run, args.vision_minutes, args.vision_rate, args.vision_batch, args.workers, team)
    team.wait()
    if "joint" in stages:
        state = torch.load(args.run / "vision.pt", weights_only=True)["model"]
        own = model.state_dict()
        model.load_state_dict({k: v for k, v in state.items() if v.shape == own[k].shape}, strict=False)
        train_joint(model, Text(tokenizer), args.run, args, team)


if __name__ == "__main__":
    main()
