"""Reads every question back from its words alone, by brute force, and compares the answers.

`python -m recipe.check --scenes 2000` prints the questions whose answer is not what the words say, and some
examples.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from random import Random

import numpy as np

from . import tasks, world
from .tasks import HINT, Question
from .words import READERS, Wrong, without_article
from .world import Scene


def check(scene: Scene, q: Question) -> None:
    text = q.prompt.removesuffix(HINT).rstrip("?.")
    text = re.sub("this image|(this|the) (picture|photo)|the image", "the image", text[0].lower() + text[1:])
    reader = READERS.get(q.task) or READERS[q.task.partition("_")[0]]
    said = reader(scene, text, q)
    if without_article(said) != without_article(q.answer):
        raise Wrong(f'the words call for "{said}"')
    if HINT in q.prompt and without_article(q.answer) != q.answer:
        raise Wrong("an article in an answer of one word")
    q.spans()
    for phrase, indices in q.says:
        if phrase not in q.answer or not indices:
            raise Wrong(f'"{phrase}" does not stand in the answer')


def back_reference(q: Question) -> bool:
    """Whether the question can't be read without the turn before it."""
    return (
        q.kind == "it"
        or q.task == "ground_it"
        or any(words in ("it", "its", "that") for words, _ in q.mentions)
    )


def check_turns(scene: Scene, turns: list[Question]) -> None:
    """A later turn's "it" is the one thing that the turn before spoke of."""
    for before, q in zip([None, *turns], turns):
        if not back_reference(q):
            check(scene, q)
            continue
        index = q.mentions[0][1][0]
        last = before.refers if before else ()
        if index not in last or (len(last) > 1 and before.mentions[0][1] != (index,)):
            raise Wrong(f"it is {index}, spoken of was {last}")
        prompt = re.sub(r"\b(it|that)\b", "the thing", q.prompt)
        truth = {"colour": scene.things[index].colour, "size": scene.things[index].size}.get(q.task)
        if truth and truth != q.answer:
            raise Wrong(f"{prompt} {truth}")
        if q.box and q.box != scene.things[index].box:
            raise Wrong("the box of another thing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=30)
    args = parser.parse_args()
    rng, draw = np.random.default_rng(args.seed), Random(args.seed)
    counts: Counter[str] = Counter()
    wrong = 0
    for number in range(args.scenes):
        scene = world.sample_scene(rng, *world.sample_size(rng, 96, 192))
        if not scene.things:
            continue
        asked = [[q] for q in tasks.ask_all(draw, scene, 14)] + [tasks.dialogue(draw, scene)]
        for turns in asked:
            counts.update(q.task for q in turns)
            try:
                check_turns(scene, turns)
            except Wrong as error:
                wrong += 1
                if wrong <= 30:
                    print(f"scene {number}: {error}")
                    for q in turns:
                        print(f"  {q.task} {q.kind}: {q.prompt} -> {q.answer} {q.refers} {q.mentions}")
                    for i, t in enumerate(scene.things):
                        print(
                            f"    {i} {t.size} {t.colour} {t.kind} {t.text or ''} {[round(v, 2) for v in t.box]}"
                        )
        if draw.random() < args.examples / args.scenes:
            for turns in draw.sample(asked, 1):
                print(" / ".join(f"{q.prompt} -> {q.answer}" for q in turns))
    total = sum(counts.values())
    for name, count in counts.most_common():
        print(f"{name:18} {count:7} {100 * count / total:5.1f} %")
    print(f"{total} questions, {wrong} wrong")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
