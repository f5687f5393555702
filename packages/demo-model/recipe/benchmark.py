"""Unseen scenes with questions in the field's file formats, as `llava-sp eval` reads them.

`python -m recipe.benchmark --out DIR --trained 2000 --held-out 2000` writes pictures, `benchmark.json`, POPE's
JSONL in its three kinds of negatives and two more, VQA with answers, RefCOCO as COCO and refer JSON, MMVP's pairs,
and captions. `split` tells the trained styles of drawing from the one that training never sees.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from . import icons, tasks, world
from .kinds import KINDS, SHAPES
from .pairs import pair
from .pope import POPE, pope
from .tasks import Question, View, caption
from .tasks.basic import ask_colour, ask_count, ask_kind, ask_reading, ask_size
from .tasks.ground import ask_describe, ask_naming
from .tasks.phrases import PHRASE_KINDS, absent_phrase, phrase
from .tasks.question import HINT, article, bare
from .tasks.relation import ask_extreme, ask_front, ask_larger, ask_relation, ask_side, ask_what_is

# Training draws from numpy seeds [SEED + ..., worker]; these streams have another shape and never meet them.
SEED = (990_002, 1, 1)
HELD_OUT = "held_out"
SPLITS = ("trained", HELD_OUT)
A_SHAPE = re.compile(rf"\b({'|'.join(SHAPES)}|shape)(s|es)?\b")
# In every scene, and in one of five; what is written is asked for wherever there is a word.
ALWAYS = ("count", "attribute", "relation", "naming")
SOMETIMES = ("order", "kind", "side", "describe", "no text")
TRIES = 12
REFERENCES = "captions.jsonl"


@dataclass
class Picture:
    """A scene and the file that shows it, without its sprites: thousands of scenes fit into memory."""

    file: str
    split: str
    view: View


@dataclass
class Benchmark:
    """What is written, by file."""

    out: Path
    sizes: tuple[int, int]
    quality: int
    rng: np.random.Generator
    draw: Random
    pictures: list[Picture] = field(default_factory=list)
    rows: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    refer: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    questions: int = 0

    def save(self, image: Image.Image, scene: world.Scene, split: str) -> Picture:
        name = f"{split}-{len(self.pictures):05d}.jpg"
        image.save(self.out / "images" / name, quality=self.quality)
        things = [replace(t, sprite=None) for t in scene.things]
        self.pictures.append(Picture(name, split, View(replace(scene, things=things, owner=None))))
        return self.pictures[-1]

    def scene(self, held_out: bool) -> world.Scene:
        while True:
            scene = world.sample_scene(self.rng, *world.sample_size(self.rng, *self.sizes), held_out=held_out)
            if scene.things:
                return scene

    def new_id(self) -> int:
        """No two questions of a benchmark have the same, whichever files they are in."""
        self.questions += 1
        return self.questions

    def add(self, file: str, picture: Picture, text: str, category: str, **truth: object) -> None:
        rows = self.rows.setdefault(file, [])
        head = {"question_id": self.new_id(), "image": picture.file, "text": text, "category": category}
        rows.append({**head, **truth, "split": picture.split})


# --- the files --------------------------------------------------------------------------------------------------


def presence(b: Benchmark, pictures: list[Picture]) -> None:
    """POPE's files, of each split by its own pictures."""
    for split in SPLITS:
        own = [p for p in pictures if p.split == split]
        for number, how, noun, yes in pope(b.draw, [p.view for p in own], split == HELD_OUT):
            text = f"Is there {article(noun.text())} in the image?"
            b.add(f"pope_{how}.jsonl", own[number], text, how, label="yes" if yes else "no")


def suits(p: Picture, text: str) -> bool:
    """The held-out style has no shapes: asked for one, nobody needs to look."""
    return p.split != HELD_OUT or not A_SHAPE.search(text)


def name_indicated(draw: Random, view: View) -> Question | None:
    """`ask_naming` asks for a colour at times."""
    q = ask_naming(draw, view)
    return q if q and q.task == "naming" else None


VQA: dict[str, tuple[tasks.Maker, ...]] = {
    "count": (ask_count,),
    "attribute": (ask_colour, ask_size),
    "relation": (ask_relation, ask_what_is),
    "naming": (name_indicated,),
    "order": (ask_front, ask_larger, ask_extreme),
    "kind": (ask_kind,),
    "side": (ask_side,),
    "describe": (ask_describe,),
    "reading": (ask_reading,),
    "no text": (ask_reading,),
}


def vqa(b: Benchmark, pictures: list[Picture]) -> None:
    for number, p in enumerate(pictures):
        categories = [*ALWAYS, SOMETIMES[number % len(SOMETIMES)]]
        if p.view.word is not None:
            categories = [c for c in categories if c != "no text"] + ["reading"]
        for category in categories:
            makers = VQA[category]
            # By turns: a maker that finds nothing to ask leaves its place to the next one.
            turn = number // len(SOMETIMES)
            order = [makers[(turn + i) % len(makers)] for i in range(len(makers))]
            tries = (maker(b.draw, p.view) for maker in order for _ in range(4 * TRIES))
            q = next((q for q in tries if q and suits(p, q.prompt)), None)
            if q:
                b.add(
                    "vqa.jsonl", p, q.prompt.removesuffix(HINT), category, answer=bare(q.answer), task=q.task
                )


def refcoco(b: Benchmark, pictures: list[Picture]) -> None:
    """Two phrases a picture, and in each third one of a thing that is not there; boxes in source pixels."""
    r = b.refer = {"images": [], "annotations": [], "categories": [], "refs": []}
    r["categories"] += [{"id": i, "name": kind} for i, kind in enumerate(KINDS)]
    for number, p in enumerate(pictures):
        scene = p.view.scene
        long, (left, top) = scene.long_side, scene.offset
        r["images"].append({"id": number, "file_name": p.file, "width": scene.width, "height": scene.height})
        annotations: dict[int, int] = {}
        texts: set[str] = set()
        for turn in range(3):
            if turn < 2:
                wanted = PHRASE_KINDS[(number + 2 * turn) % len(PHRASE_KINDS)]
                tries = (
                    phrase(b.draw, p.view, kind)
                    for kind in (wanted, "ordinal", "attribute")
                    for _ in range(TRIES)
                )
            else:
                tries = (absent_phrase(b.draw, p.view) for _ in range(TRIES if number % 3 == 0 else 0))
            found = next((f for f in tries if f and f.text not in texts and suits(p, f.text)), None)
            if found is None:
                continue
            texts.add(found.text)
            ref: dict[str, object] = {
                "ref_id": len(r["refs"]),
                "ann_id": -1,
                "image_id": number,
                "split": p.split,
            }
            if found.index is None:
                ref |= {"category": "absent", "no_target": True}
            else:
                t = p.view.things[found.index]
                if found.index not in annotations:
                    annotations[found.index] = len(r["annotations"])
                    x1, y1, x2, y2 = (v * long for v in t.box)
                    box = [round(v, 2) for v in (x1 - left, y1 - top, x2 - x1, y2 - y1)]
                    kind = KINDS.index(t.kind)
                    r["annotations"].append(
                        {"id": len(r["annotations"]), "image_id": number, "category_id": kind, "bbox": box}
                    )
                ref |= {
                    "ann_id": annotations[found.index],
                    "category_id": KINDS.index(t.kind),
                    "category": found.kind,
                }
            ref["sentences"] = [{"sent_id": b.new_id(), "sent": f"the {found.text}"}]
            r["refs"].append(ref)


def captions(b: Benchmark, pictures: list[Picture]) -> None:
    """Short ones of every second picture, detailed ones of every fourth."""
    for number, p in enumerate(pictures):
        if number % 2 == 0:
            q = caption.ask_caption(b.draw, p.view)
            b.add(REFERENCES, p, q.prompt, "short", references=caption.references(p.view))
        if number % 4 == 1:
            q = caption.ask_detailed(b.draw, p.view)
            b.add(REFERENCES, p, q.prompt, "detailed", references=[q.answer])


def mmvp(b: Benchmark, count: int, held_out: bool) -> None:
    """Pairs of pictures that differ in one thing, with one question that has another answer on each."""
    made: Counter[str] = Counter()
    split = SPLITS[held_out]
    number = len(b.rows.get("mmvp.jsonl", [])) // 2
    while made.total() < count:
        found = pair(b.rng, b.draw, b.scene(held_out), made)
        if not found:
            continue
        seed = int(b.rng.integers(1 << 31))
        for scene, answer in zip(found.scenes, found.answers):
            # One seed: the same background, light and wear on both.
            picture = b.save(world.render(np.random.default_rng(seed), scene), scene, split)
            b.add(
                "mmvp.jsonl", picture, found.text, found.category, answer=answer, pair=number + made.total()
            )
        made[found.category] += 1


def attribution() -> str:
    """Where the drawings on the pictures come from."""
    lines = [
        "# Attribution",
        "",
        "The pictures show drawings of these icon sets, turned, tinted and scaled by `recipe/`:",
        "",
    ]
    url = "https://spdx.org/licenses/{}.html"
    lines += [f"- {title} by {by}: [{spdx}]({url.format(spdx)})" for _, title, by, spdx in icons.licences()]
    return "\n".join(lines) + "\n"


def calibration(b: Benchmark, count: int) -> None:
    """Pictures with questions as training asks them: what `llava-sp convert --calibrate` rounds the weights by."""
    for _ in range(count):
        scene = b.scene(False)
        picture = b.save(world.render(b.rng, scene), scene, "trained")
        for q in tasks.ask_all(b.draw, scene, 4):
            b.add("question.jsonl", picture, q.prompt, q.task)


MANIFEST = {
    "name": "demo",
    "images": "images",
    "tasks": [
        {"name": "pope", "metric": "pope", "questions": [f"pope_{how}.jsonl" for how in POPE]},
        {"name": "refcoco", "metric": "refcoco", "questions": "refcoco.json"},
        {"name": "vqa", "metric": "vqa", "questions": "vqa.jsonl"},
        {"name": "mmvp", "metric": "mmvp", "questions": "mmvp.jsonl"},
        {"name": "captions", "metric": "caption", "questions": REFERENCES},
    ],
}


def write_rows(b: Benchmark) -> None:
    for name, rows in b.rows.items():
        (b.out / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def write(b: Benchmark, description: str) -> None:
    write_rows(b)
    (b.out / "refcoco.json").write_text(json.dumps(b.refer, separators=(",", ":")) + "\n")
    (b.out / "benchmark.json").write_text(
        json.dumps({**MANIFEST, "description": description}, indent=2) + "\n"
    )
    (b.out / "ATTRIBUTION.md").write_text(attribution())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trained", type=int, default=2000, help="scenes of the styles that training sees")
    parser.add_argument("--held-out", type=int, default=0, help="scenes of the style that it never sees")
    parser.add_argument("--pairs", type=int, default=8, help="one pair of pictures for so many scenes")
    parser.add_argument(
        "--calibration", type=int, help="write so many scenes with plain questions, and no benchmark"
    )
    parser.add_argument("--seed", type=int, default=0, help="another set of scenes")
    parser.add_argument(
        "--sizes", type=int, nargs=2, default=(160, 640), help="range of the longer side in pixels"
    )
    parser.add_argument("--quality", type=int, default=90, help="of the JPEG files")
    args = parser.parse_args()
    images = args.out / "images"
    images.mkdir(parents=True, exist_ok=True)
    if any(images.iterdir()):
        parser.error(f"there are pictures in {images}")
    stream = (*SEED, args.seed, 1) if args.calibration else (*SEED, args.seed)
    b = Benchmark(args.out, tuple(args.sizes), args.quality, np.random.default_rng(stream), Random(args.seed))
    if args.calibration:
        calibration(b, args.calibration)
        write_rows(b)
        return
    for split, count in zip(SPLITS, (args.trained, args.held_out)):
        for _ in range(count):
            scene = b.scene(split == HELD_OUT)
            b.save(world.render(b.rng, scene), scene, split)
    pictures = list(b.pictures)
    presence(b, pictures)
    vqa(b, pictures)
    refcoco(b, pictures)
    captions(b, pictures)
    mmvp(b, args.trained // args.pairs, False)
    mmvp(b, args.held_out // args.pairs, True)
    write(
        b,
        f"{args.trained} scenes of trained drawing styles and {args.held_out} of one that training never sees.",
    )
    for name, rows in [*b.rows.items(), ("refcoco.json", b.refer["refs"])]:
        print(f"{name:24} {len(rows):6}")
        for split in SPLITS:
            print(f"  {split:10} {dict(Counter(str(row['category']) for row in rows if row['split'] == split))}")


if __name__ == "__main__":
    main()
