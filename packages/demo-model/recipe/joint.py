"""Stage 2: the paper's two models and the baseline learn to read pictures, all at once and from the same stream.

The vision tower is frozen, as CLIP is in the paper, so a batch's patches are computed once for all variants. Each
variant has its own spatial features, projector and decoder, its own optimisers, and starts from the same seed.

Stage 3: the one that ships goes on alone from stage 2's end. Learning three at once takes three times as long, which the
comparison needs and the default need not wait for. It begins with the tower that stage 1 has made by then, and the tower
learns on with it: what the questions need of it no dense head has taught.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from .data import loader, normalise
from .device import device, half_precision
from .folder import read
from .joint_loss import JointLoss
from .loop import (
    SEED,
    Log,
    Mean,
    optimisers,
    quantise,
    save,
    schedule,
    seed,
    set_rate,
)
from .model import ModelConfig, VisionModel
from .parallel import Team
from .reader import Reader
from .segments import QuestionBatches, mixture
from .spatial import VARIANTS
from .teaching import sharpen
from .text import Text
from .validate import Validation

VISION = "vision_tower.vision_model."
STREAM = 1_000_000  # apart from stage 1's seeds
CHECKPOINT_MINUTES = 2.0
PLATEAU = 0.4  # share of a stage after which the learning rate goes down


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("stages 2 and 3")
    group.add_argument("--variants", default=",".join(VARIANTS))
    group.add_argument(
        "--decoder", type=Path, help="an on-device folder whose projector and decoder all variants begin with; stage 3 "
        "too, where there was no stage 2"
    )
    group.add_argument("--begin", type=Path, help="another training's checkpoint that stage 3 begins with, not RUN/joint.pt")
    group.add_argument("--joint-minutes", type=float, default=240)
    group.add_argument("--longer-minutes", type=float, default=240, help="of stage 3")
    group.add_argument("--default", choices=VARIANTS, default="cropping", help="the variant of stage 3")
    group.add_argument("--joint-batch", type=int, default=16, help="scenes a step")
    group.add_argument("--questions", type=int, default=16, help="questions a scene")
    group.add_argument("--dialogue-share", type=float, default=0.25, help="of the questions, in dialogues")
    group.add_argument(
        "--many", type=float, default=0.0, help="share of counts of three and more beside the mixture's; a training that "
        "ends with it says three where there are two"
    )
    group.add_argument("--joint-rate", type=float, default=1.5e-3)
    group.add_argument("--decoder-rate", type=float, default=3e-3, help="of the decoder's blocks")
    group.add_argument(
        "--tower-share", type=float, default=0.05, help="of stage 1's learning rates, for the tower in stage 3; 0: it "
        "stays frozen. At 0.25 the loss of naming patches doubled in seven minutes"
    )
    group.add_argument(
        "--quantise-from", type=float, default=0.92, help="share of the stage after which weights are fake-quantised"
    )
    group.add_argument("--validate-minutes", type=float, default=6, help="between validations; 0: none")


def load_tower(config: ModelConfig, state: dict[str, Tensor]) -> VisionModel:
    """The vision tower of stage 1, frozen."""
    tower = VisionModel(config)
    tower.load_state_dict({k.removeprefix(VISION): v for k, v in state.items() if k.startswith(VISION)})
    return tower.requires_grad_(False).eval().to(device())


class Learner:
    """A module with its optimisers and the running average of its weights, which is what ships."""

    def __init__(self, module: nn.Module, rates: tuple[float, float], decay: float, team: Team) -> None:
        """`rates` of the blocks' matrices, by Muon, and of the rest."""
        self.module, self.team = module, team
        self.average = copy.deepcopy(module).requires_grad_(False)
        self.parameters = list(module.parameters())
        self.optimisers = list(zip(optimisers(dict(module.named_parameters()), decay, team), rates))

    def step(self, progress: float, step: int) -> None:
        """Along the gradients of a loss, which are used up."""
        self.team.average(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, 2.0)
        for optimiser, rate in self.optimisers:
            set_rate(optimiser, rate * schedule(progress, 0.02, PLATEAU))
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.follow(min(0.995, (1 + step) / (10 + step)))

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)

    def state(self) -> dict[str, object]:
        return {
            "model": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser, _ in self.optimisers],
        }

    def load(self, state: dict[str, object]) -> None:
        self.module.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)


def reader_learner(config: ModelConfig, variant: str, args: argparse.Namespace, team: Team) -> Learner:
    """One variant, from the same seed as the others."""
    torch.manual_seed(SEED)
    reader = Reader(config, variant).to(device())
    sharpen(reader.language_model.model.layers)
    if args.decoder:
        for name in ("multi_modal_projector", "language_model"):
            stored = read(args.decoder, f"{name}.")
            getattr(reader, name).load_state_dict({k.removeprefix(f"{name}."): v for k, v in stored.items()})
    return Learner(reader, (args.decoder_rate, args.joint_rate), 0.05, team)


@dataclass
class Stage:
    """What of `args` differs between stages 2 and 3."""

    name: str
    variants: list[str]
    minutes: float
    beginning: Path | None  # another stage's checkpoint, whose clock does not count
    tower_share: float  # of stage 1's learning rates; 0: the tower is frozen


def joint_stage(args: argparse.Namespace) -> Stage:
    return Stage("joint", args.variants.split(","), args.joint_minutes, None, 0.0)


def longer_stage(args: argparse.Namespace) -> Stage:
    return Stage("longer", [args.default], args.longer_minutes, args.begin or args.run / "joint.pt", args.tower_share)


def train(config: ModelConfig, tokenizer: Tokenizer, args: argparse.Namespace, team: Team, stage: Stage) -> None:
    """Until the stage's minutes are used; goes on from RUN/joint.pt or RUN/longer.pt."""
    text = Text(tokenizer)
    lesson = JointLoss(text, device())
    vision = torch.load(args.run / "vision.pt", weights_only=True, map_location="cpu")["average"]
    tower = load_tower(config, vision)
    learners = {v: reader_learner(config, v, args, team) for v in stage.variants}
    path = args.run / f"{stage.name}.pt"
    resumed = path.exists()
    source = path if resumed else stage.beginning
    step, used = 0, 0.0
    if source and (source.exists() or not args.decoder):
        state = torch.load(source, weights_only=True, map_location=device())
        there = set(state["variants"])
        if set(stage.variants) != there if resumed else not set(stage.variants) <= there:
            raise ValueError(f"{source} holds {', '.join(state['variants'])}: go on with those, or in another folder")
        if resumed:
            tower.load_state_dict(state["vision"])  # the one they learn on, even if stage 1 goes on
        for variant, learner in learners.items():
            learner.load(state["variants"][variant])
        step, used = state["step"], state["minutes"] if resumed else 0.0
    seeing = None
    if stage.tower_share:
        rates = (stage.tower_share * args.vision_block_rate, stage.tower_share * args.vision_rate)
        seeing = Learner(tower.requires_grad_(True), rates, 0.03, team)
        if resumed and "tower" in state:
            seeing.load(state["tower"])
    seen = seeing.average if seeing else tower
    learning = [*learners.values(), *([seeing] if seeing else [])]
    size = args.joint_batch // team.size
    batches = QuestionBatches(
        seed(STREAM + step, team), size, config, text, args.questions, mixture(args.dialogue_share, args.many)
    )
    log, mean = Log(args.run / f"{stage.name}.csv", team), Mean()
    validation = Validation(config, text, seen, lesson, args.validate_scenes, team) if args.validate_minutes else None
    team.begin(used)
    saved = validated = used
    for batch in loader(batches, args.workers):
        elapsed = team.minutes
        progress = elapsed / stage.minutes
        done = progress >= 1
        quantised = progress >= args.quantise_from
        for module in (tower, *(m for learner in learning for m in (learner.module, learner.average))):
            quantise(module, quantised)
        if validation and (done or elapsed - validated > args.validate_minutes):
            validated = elapsed
            figures = validation.run({v: learner.average for v, learner in learners.items()})
            if team.leads:
                log.write("validation", step, step * args.joint_batch, elapsed, figures)
                means = {k.removesuffix("/mean"): v for k, v in figures.items() if k.endswith("/mean")}
                print(f"validation {step} {elapsed:.1f} min", line(means), flush=True)
        if team.leads and (done or elapsed - saved > CHECKPOINT_MINUTES):
            saved = elapsed
            variants = {v: learner.state() for v, learner in learners.items()}
            state = {"variants": variants, "vision": seen.state_dict(), "step": step, "minutes": elapsed}
            save(path, state | ({"tower": seeing.state()} if seeing else {}))
        if done:
            return
        batch = {k: v.to(device()) for k, v in batch.items()}
        with torch.set_grad_enabled(seeing is not None), half_precision():
            patches = tower(normalise(batch["pixels"]))
        step += 1
        for variant, learner in learners.items():
            with half_precision():
                loss, figures = lesson(learner.module, patches, batch)
            loss.backward()
            mean.add({f"{variant}/{k}": v for k, v in figures.items()})
        for learner in learning:
            learner.step(progress, step)
        if step % 50 == 0 and team.leads:
            means = mean.take()
            log.write("quantised" if quantised else stage.name, step, step * args.joint_batch, elapsed, means)
            shown = {k: v for k, v in means.items() if not k.split("/")[1].startswith("exact")}
            print(f"{stage.name} {step} {elapsed:.1f} min", line(shown), flush=True)


def line(figures: dict[str, float]) -> str:
    return " ".join(f"{k} {v:.3f}" for k, v in figures.items())
