"""Write unseen scenes with their questions, and score the PyTorch model on them.

`python -m recipe.evaluate --run DIR --out DIR --scenes 1000` writes `OUT/*.png`, `OUT/questions.jsonl` and the figures
beside (`--figures FILE`). `--make-only` writes the scenes alone; `--bits 4` scores the weights as they ship.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import tasks, world
from .data import normalise
from .export import load_model
from .model import LlavaSp, QuantEmbedding, QuantLinear
from .quantise import fake_quantise
from .text import Text, load_or_build

# Training draws from numpy seeds [SEED + ..., worker]; these streams have another shape and never meet them.
EVALUATION_SEED = (990_001, 1, 1)
QUESTIONS = 8
BATCH_TOKENS = 48


@dataclass
class Row:
    """One question on one picture: a line of questions.jsonl."""

    id: str
    image: str
    task: str
    prompt: str
    answer: str
    box: list[float] | None
    width: int
    height: int

    def as_json(self) -> str:
        fields = dict(self.__dict__)
        if self.box is None:
            del fields["box"]
        return json.dumps(fields)


def make(
    out: Path, scenes: int, questions: int, seed: tuple[int, ...], sizes: tuple[int, int] = (160, 640)
) -> list[Row]:
    """Scenes of native sizes as PNG, with `questions` each; every task comes up by turns."""
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    makers = [m for m, _ in tasks.MIXTURE]
    turn = 0
    for number in range(scenes):
        scene = world.sample_scene(rng, *world.sample_size(rng, *sizes))
        while not scene.things:
            scene = world.sample_scene(rng, scene.width, scene.height)
        name = f"scene-{number:04d}.png"
        world.render(rng, scene).save(out / name)
        asked: dict[str, tasks.Question] = {}
        for _ in range(4 * questions):
            if len(asked) == questions:
                break
            # Some questions need a lucky draw (a relation that picks one object): they get several.
            question = next(filter(None, (makers[turn % len(makers)](rng, scene) for _ in range(8))), None)
            turn += 1
            if question:
                asked.setdefault(question.prompt, question)
        for i, q in enumerate(asked.values()):
            box = [round(v, 4) for v in q.box] if q.box else None
            rows.append(Row(f"{number:04d}-{i}", name, q.task, q.prompt, q.answer, box, scene.width, scene.height))
    (out / "questions.jsonl").write_text("".join(row.as_json() + "\n" for row in rows))
    return rows


def read(out: Path) -> list[Row]:
    lines = (out / "questions.jsonl").read_text().splitlines()
    return [Row(**{"box": None, **json.loads(line)}) for line in lines]


# --- scoring; eval.ts does the same -----------------------------------------------------------------------------


def words(text: str) -> str:
    """Lower case, letters and digits only, single spaces."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def parse_box(text: str) -> list[float] | None:
    parts = text.strip().removeprefix("[").removesuffix("]").split(",")
    try:
        box = [float(p) for p in parts]
    except ValueError:
        return None
    return box if len(box) == 4 else None


def iou(a: list[float], b: list[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h)


def score(row: Row, answer: str) -> bool:
    """A box: IoU of at least 0.5 with the truth. A caption: the same things in any order. Else the same words."""
    if row.box:
        box = parse_box(answer)
        return box is not None and iou(box, row.box) >= 0.5
    if row.task == "caption":
        return caption_parts(answer) == caption_parts(row.answer)
    return words(answer) == words(row.answer)


def caption_parts(text: str) -> list[str]:
    parts = f" {words(text.replace(',', ' and '))} ".split(" and ")
    return sorted(part.strip() for part in parts if part.strip())


GROUPS = {
    "yes/no": ("exists",),
    "count": ("count",),
    "attribute": ("colour", "shape", "size"),
    "grounding": ("ground_attribute", "ground_ordinal", "ground_relation", "where"),
    "relation": ("relation_yes_no", "relation_what"),
    "absent": ("where_absent",),
    "describe": ("describe",),
    "caption": ("caption",),
}


def figures(rows: list[Row], right: list[bool]) -> dict[str, dict[str, object]]:
    def share(names: tuple[str, ...]) -> dict[str, object]:
        chosen = [r for row, r in zip(rows, right) if row.task in names]
        return {"questions": len(chosen), "accuracy": round(sum(chosen) / max(1, len(chosen)), 4)}

    return {
        "groups": {name: share(names) for name, names in GROUPS.items()},
        "tasks": {name: share((name,)) for name in sorted({row.task for row in rows})},
    }


# --- generation -------------------------------------------------------------------------------------------------


@torch.inference_mode()
def answer_picture(
    model: LlavaSp, text: Text, pixels: np.ndarray, prompts: list[str], limit: int = BATCH_TOKENS
) -> list[str]:
    """Greedy answers to all prompts on one picture; the picture's keys and values are computed once."""
    lm = model.language_model
    patches, spatial = model.see(normalise(torch.from_numpy(pixels.copy())[None]))
    head = lm.model.embed_tokens(torch.tensor([text.head]))
    x = torch.cat([head, model.visual_tokens(patches, spatial)], 1)
    n = x.shape[1]
    caches: list[list[Tensor]] = [[] for _ in lm.model.layers]
    lm(x, torch.arange(n)[None], torch.ones(n, n, dtype=torch.bool).tril()[None, None], caches)
    rows = [text.prompt(p) for p in prompts]
    count, longest = len(rows), max(map(len, rows))
    for cache in caches:
        cache[:] = [c.expand(count, -1, -1, -1) for c in cache]
    ids = torch.tensor([r + [text.pad] * (longest - len(r)) for r in rows])
    lengths = torch.tensor([len(r) for r in rows])
    valid = torch.arange(longest)[None] < lengths[:, None]
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    own = causal[None] & valid[:, None, :]
    mask = torch.cat([torch.ones(count, longest, n, dtype=torch.bool), own], 2)[:, None]
    states, _ = lm(lm.model.embed_tokens(ids), (n + torch.arange(longest)).expand(count, -1), mask, caches)
    last = states[torch.arange(count), lengths - 1]
    keys = torch.cat([torch.ones(count, n, dtype=torch.bool), valid], 1)
    out: list[list[int]] = [[] for _ in rows]
    open_rows = torch.ones(count, dtype=torch.bool)
    for step in range(limit):
        token = lm.logits(last).argmax(-1)
        for i in range(count):
            if open_rows[i]:
                out[i].append(int(token[i]))
        open_rows &= token != text.eos
        if not open_rows.any():
            break
        keys = torch.cat([keys, torch.ones(count, 1, dtype=torch.bool)], 1)
        positions = (n + lengths + step)[:, None]
        states, _ = lm(lm.model.embed_tokens(token[:, None]), positions, keys[:, None, None], caches)
        last = states[:, 0]
    return [text.decode(ids) for ids in out]


@torch.no_grad()
def bake(model: LlavaSp, bits: int) -> None:
    """Replace the weights by what the quantised ones stand for; the token table has 8 bits."""
    for module in model.modules():
        if isinstance(module, QuantLinear | QuantEmbedding):
            own = 8 if isinstance(module, QuantEmbedding) else bits
            module.weight.copy_(fake_quantise(module.weight, own, module.group))


def by_picture(rows: list[Row]) -> Iterator[list[Row]]:
    at = 0
    while at < len(rows):
        end = at
        while end < len(rows) and rows[end].image == rows[at].image:
            end += 1
        yield rows[at:end]
        at = end


def evaluate(model: LlavaSp, text: Text, out: Path, rows: list[Row]) -> tuple[list[str], list[bool]]:
    answers: list[str] = []
    for group in by_picture(rows):
        pixels = world.to_model_pixels(Image.open(out / group[0].image).convert("RGB"))
        answers += answer_picture(model, text, pixels, [row.prompt for row in group])
    return answers, [score(row, answer) for row, answer in zip(rows, answers)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="questions a scene")
    parser.add_argument("--seed", type=int, default=0, help="another set of scenes")
    parser.add_argument("--sizes", type=int, nargs=2, default=(160, 640), help="range of the longer side in pixels")
    parser.add_argument("--limit", type=int, help="score only the first scenes")
    parser.add_argument("--make-only", action="store_true")
    parser.add_argument("--weights", choices=("average", "model"), default="average")
    parser.add_argument("--bits", type=int, choices=(0, 4), default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--show-wrong", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if (args.out / "questions.jsonl").exists():
        rows = read(args.out)
    else:
        rows = make(args.out, args.scenes, args.questions, (*EVALUATION_SEED, args.seed), tuple(args.sizes))
    if args.make_only:
        return
    if args.limit:
        rows = [row for row in rows if int(row.id.split("-")[0]) < args.limit]
    model = load_model(args.run, args.weights)
    if args.bits:
        bake(model, args.bits)
    text = Text(load_or_build(args.run / "tokenizer.json"))
    answers, right = evaluate(model, text, args.out, rows)
    result = figures(rows, right)
    for kind, table in result.items():
        for name, figure in table.items():
            print(f"{kind:7} {name:18} {figure['questions']:6} {100 * float(str(figure['accuracy'])):6.1f} %")
    wrong = [(row, answer) for row, answer, r in zip(rows, answers, right) if not r]
    for row, answer in wrong[: args.show_wrong]:
        print(f"{row.image} {row.task}: {row.prompt} -> {answer} (truth {row.answer})")
    if args.figures:
        scenes = len({row.image for row in rows})
        args.figures.write_text(json.dumps({"scenes": scenes, "weights": f"q{args.bits}" if args.bits else "float32", **result}, indent=2) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
