"""Watching stages 2 and 3: unseen scenes of the trained styles and of the held-out one, answered greedily by every variant.

No cache of keys and values is needed for that. Greedy decoding says exactly the true answer when every token is
the likeliest after the true ones before it, which one pass over the packed answers tells. Boxes need not be said
exactly: their coordinates are filled in one by one, and score at an IoU of 0.5.

`python -m recipe.validate --run DIR --stage joint --scenes 1000` compares the variants of a finished stage, their
weights as floats, and says whether they use their spatial tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .data import normalise
from .joint_loss import JointLoss
from .model import SIZES, ModelConfig, VisionModel
from .parallel import Team
from .reader import Reader
from .segments import TASK_NUMBERS, QuestionBatches, join, mixture
from .text import Text, load_or_build

# Training draws from numpy seeds [seed, worker]; this stream has another shape and never meets them.
VALIDATION_SEED = (770_001, 1, 1)
QUESTIONS = 24
BATCH = 8
STYLES = ("trained", "held_out")
# What the tasks are reported as.
GROUPS: dict[str, tuple[str, ...]] = {
    "presence": ("presence",),
    "count": ("count",),
    "attribute": ("colour", "size", "kind", "attribute_yes_no"),
    "relation": ("relation_yes_no", "relation_what", "side", "larger", "larger_yes_no", "extreme", "front", "front_yes_no"),
    "naming one object": ("naming",),
    "grounding": ("ground_attribute", "ground_ordinal", "ground_relation", "ground_extreme", "ground_group"),
    "not there": ("absent_llava", "absent_where", "absent_asked"),
    "reading": ("reading",),
}  # fmt: skip


class Validation:
    """Each process of the team takes its share of the scenes."""

    def __init__(
        self, config: ModelConfig, text: Text, tower: VisionModel, lesson: JointLoss, scenes: int, team: Team
    ) -> None:
        self.tower, self.lesson, self.team = tower, lesson, team
        self.batches: dict[str, list[dict[str, Tensor]]] = {}
        own = scenes // team.size
        for number, style in enumerate(STYLES):
            made = QuestionBatches(0, BATCH, config, text, QUESTIONS, mixture(0.0), held_out=style == "held_out")
            rng = np.random.default_rng((*VALIDATION_SEED, number, team.rank))
            scenes_made = [made.one(rng) for _ in range(own)]
            self.batches[style] = [join(scenes_made[at : at + BATCH]) for at in range(0, own, BATCH)]

    @torch.no_grad()
    def run(self, readers: dict[str, Reader]) -> dict[str, float]:
        """`variant/style/task`: the share of right answers."""
        tasks = len(TASK_NUMBERS)
        counts = torch.zeros(len(readers), len(STYLES), 2, tasks)
        for s, style in enumerate(STYLES):
            for batch in self.batches[style]:
                batch = {k: v.to(self.lesson.head.device) for k, v in batch.items()}
                patches = self.tower(normalise(batch["pixels"]))
                for r, reader in enumerate(readers.values()):
                    right, task = self.answer(reader, patches, batch)
                    counts[r, s, 0] += torch.bincount(task[right], minlength=tasks).cpu()
                    counts[r, s, 1] += torch.bincount(task, minlength=tasks).cpu()
        self.team.add([counts])
        out: dict[str, float] = {}
        for r, variant in enumerate(readers):
            for s, style in enumerate(STYLES):
                right, asked = counts[r, s]
                named = {name: (right[i] / asked[i]).item() for name, i in TASK_NUMBERS.items() if asked[i]}
                out |= {f"{variant}/{style}/{name}": share for name, share in named.items()}
                out[f"{variant}/{style}/mean"] = sum(named.values()) / len(named)
        return out

    def answer(self, reader: Reader, patches: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Whether each question [Q] is answered right, and its task."""
        lesson, question, target = self.lesson, batch["answer_question"], batch["answer_token"]
        count = int(batch["questions"].sum())
        place = lesson.slot[target]
        soft = place >= 0
        order = ordinals(question, soft)
        ids = batch["ids"].clone()
        for turn in range(4):
            said = lesson.answers(reader, patches, {**batch, "ids": ids}, ()).logits.argmax(-1)
            filled = order == turn
            ids.view(-1)[batch["answer_at"][filled] + 1] = said[filled]
        wrong = torch.zeros(count, device=target.device)
        wrong.index_add_(0, question, ((said != target) & ~soft).float())
        boxed = question[order == 0]
        truth, given = (torch.full((count, 4), -1, device=target.device) for _ in range(2))
        for boxes, slots in ((truth, place), (given, lesson.slot[said])):
            boxes[question[soft], order[soft]] = slots[soft]
        right = wrong == 0
        right[boxed] &= iou(truth[boxed].float(), given[boxed].float()) >= 0.5
        task = torch.zeros(count, dtype=torch.long, device=target.device)
        task[question] = batch["answer_task"]
        return right, task


    @torch.no_grad()
    def spatial(self, reader: Reader) -> dict[str, float]:
        """How large the spatial tokens are beside the patches' (root mean squares), and the answers' loss with them and with those
        of another picture in their place: what they tell of the picture is worth the difference."""
        sums = dict.fromkeys(("size", "loss", "another's"), 0.0)
        batches = [batch for style in STYLES for batch in self.batches[style]]
        for batch in batches:
            patches = self.tower(normalise(batch["pixels"]))
            tokens = reader.spatial_features(patches).square().mean().sqrt()
            sums["size"] += float(tokens / reader.multi_modal_projector(patches).square().mean().sqrt())
            sums["loss"] += self.loss(reader, patches, batch)
            hook = reader.spatial_features.register_forward_hook(lambda *call: call[-1].roll(1, 0))
            sums["another's"] += self.loss(reader, patches, batch)
            hook.remove()
        return {name: total / len(batches) for name, total in sums.items()}

    def loss(self, reader: Reader, patches: Tensor, batch: dict[str, Tensor]) -> float:
        return self.lesson.answer_loss(self.lesson.answers(reader, patches, batch, ()).logits, batch)[1]["answer"]


def ordinals(question: Tensor, soft: Tensor) -> Tensor:
    """Which of its question's coordinates each answer token is, -1 for other tokens."""
    before = soft.long().cumsum(0) - soft.long()
    start = torch.full((int(question.max()) + 1,), len(soft), device=soft.device)
    start.scatter_reduce_(0, question[soft], before[soft], "amin")
    return torch.where(soft, before - start[question], -1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Of boxes [n, 4] (x1, y1, x2, y2)."""
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0)
    shared = size[:, 0] * size[:, 1]
    area = sum((x[:, 2] - x[:, 0]).clamp_min(0) * (x[:, 3] - x[:, 1]).clamp_min(0) for x in (a, b))
    return shared / (area - shared).clamp_min(1)


def table(figures: dict[str, float], variants: list[str]) -> str:
    """The groups' shares in percent as Markdown: each variant on the trained styles / on the held-out one. A group is the
    mean of its tasks."""
    lines = [f"| | {' | '.join(variants)} |", "|---" * (1 + len(variants)) + "|"]
    for group, tasks in GROUPS.items():
        cells = []
        for variant in variants:
            found = [[figures.get(f"{variant}/{style}/{task}") for task in tasks] for style in STYLES]
            known = [[share for share in shares if share is not None] for shares in found]
            cells.append(" / ".join(f"{100 * sum(s) / len(s):.1f}" if s else "-" for s in known))
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--stage", choices=("joint", "longer"), default="joint")
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu", help="as trained")
    parser.add_argument("--scenes", type=int, default=1000, help="of the trained styles, and of the held-out one")
    args = parser.parse_args()
    tokenizer = load_or_build(args.run / "tokenizer.json")
    config = replace(SIZES[args.size], vocab_size=tokenizer.get_vocab_size())
    state = torch.load(args.run / f"{args.stage}.pt", weights_only=True, map_location="cpu")
    tower = VisionModel(config)
    tower.load_state_dict(state["vision"])
    readers = {variant: Reader(config, variant) for variant in state["variants"]}
    for variant, reader in readers.items():
        reader.load_state_dict(state["variants"][variant]["average"])
    text = Text(tokenizer)
    lesson = JointLoss(text, torch.device("cpu"))
    validation = Validation(config, text, tower, lesson, args.scenes, Team())
    figures = validation.run(readers)
    print(table(figures, list(readers)))
    for name, share in sorted(figures.items()):
        print(f"{name:44} {100 * share:5.1f}")
    for variant, reader in readers.items():
        if reader.spatial_features:
            told = validation.spatial(reader)
            print(f"spatial tokens of {variant}:", ", ".join(f"{name} {value:.4f}" for name, value in told.items()))


if __name__ == "__main__":
    main()
