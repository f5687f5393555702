"""Pairs of scenes that differ in one thing, for a question with another answer on each (as MMVP asks)."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass
from random import Random

import numpy as np

from . import sprites
from .icons import HELD_OUT_STYLE
from .kinds import COLOUR_NAMES
from .tasks.phrases import one
from .tasks.question import article, plural
from .tasks.view import RELATION_WORDS, RELATIONS, Noun, View
from .world import Box, Scene, Thing


@dataclass
class Pair:
    """Two scenes to draw; where a thing went away, an unseen one keeps its colour off the background."""

    scenes: tuple[Scene, Scene]
    text: str
    answers: tuple[str, str]
    category: str


def _with(scene: Scene, things: list[Thing]) -> Scene:
    out = copy(scene)
    out.things = things
    return out


def _without(scene: Scene, index: int) -> Scene:
    """The scene without one thing; what it covered is seen again."""
    things = []
    for i, t in enumerate(scene.things):
        if i != index:
            t = copy(t)
            t.covered_by = tuple(j - (j > index) for j in t.covered_by if j != index)
            things.append(t)
    return _with(scene, things)


def _unseen(t: Thing) -> Thing:
    out = copy(t)
    out.sprite = np.zeros((1, 1, 4), np.uint8)
    return out


def _free(scene: Scene) -> bool:
    """Whether no thing touches another one: they may then be moved and redrawn."""
    return not any(t.covered_by or t.visible < 1 for t in scene.things)


def _presence(rng: np.random.Generator, draw: Random, scene: Scene, view: View) -> Pair | None:
    index = draw.choice(view.objects)
    noun = Noun(None, None, scene.things[index].kind)
    other = _without(scene, index)
    if view.meaning(noun) != (index,) or not other.things or View(other).meaning(noun) != ():
        return None
    other.things.append(_unseen(scene.things[index]))
    return Pair((scene, other), f"Is there {article(noun.noun)} in the image?", ("Yes", "No"), "presence")


def _count(rng: np.random.Generator, draw: Random, scene: Scene, view: View) -> Pair | None:
    index = draw.choice(view.objects)
    noun = Noun(None, None, scene.things[index].kind)
    members, other = view.meaning(noun) or (), _without(scene, index)
    left = View(other).meaning(noun) or ()
    if len(members) < 2 or len(left) != len(members) - 1:
        return None
    other.things.append(_unseen(scene.things[index]))
    answers = (str(len(members)), str(len(left)))
    return Pair((scene, other), f"How many {plural(noun.noun)} are there in the image?", answers, "count")


def _colour(rng: np.random.Generator, draw: Random, scene: Scene, view: View) -> Pair | None:
    """A thing drawn twice from one seed, in two colours."""
    index = draw.choice(view.objects)
    t = scene.things[index]
    noun = Noun(None, None, t.kind)
    if view.meaning(noun) != (index,):
        return None
    seed = int(rng.integers(1 << 31))
    extent = max(t.box[2] - t.box[0], t.box[3] - t.box[1]) * scene.long_side
    scenes, colours = [], draw.sample(COLOUR_NAMES, 2)
    for colour in colours:
        sprite = sprites.thing(np.random.default_rng(seed), t.kind, colour, extent, t.style == HELD_OUT_STYLE)
        if sprite.colour != colour:
            return None
        new = copy(t)
        new.colour, new.rgb, new.sprite, new.style = colour, sprite.rgb, sprite.pixels, sprite.style
        _move(scene, new, view.x[index], view.y[index])
        things = [(new if i == index else o) for i, o in enumerate(scene.things)]
        if not _fits(view, things):
            return None
        scenes.append(_with(scene, things))
    drawn = [made.things[index] for made in scenes]
    for made, t in zip(scenes, reversed(drawn)):
        made.things.append(_unseen(t))
    return Pair(
        (scenes[0], scenes[1]), f"What colour is the {noun.noun}?", (colours[0], colours[1]), "colour"
    )


def _relation(rng: np.random.Generator, draw: Random, scene: Scene, view: View) -> Pair | None:
    """Two things change their places."""
    if len(view.objects) < 2:
        return None
    a, b = draw.sample(view.objects, 2)
    first, second = one(draw, view, a), one(draw, view, b)
    if not first or not second:
        return None
    things = [copy(t) for t in scene.things]
    for i, j in ((a, b), (b, a)):
        _move(scene, things[i], view.x[j], view.y[j])
    if not _fits(view, things):
        return None
    other = _with(scene, things)
    turned = View(other)
    for relation in draw.sample(tuple(RELATIONS), 4):
        truths = view.holds(a, relation, b), turned.holds(a, relation, b)
        if None in truths or truths[0] == truths[1]:
            continue
        text = f"Is the {first.text()} {draw.choice(RELATION_WORDS[relation])} the {second.text()}?"
        return Pair(
            (scene, other), text, ("Yes" if truths[0] else "No", "Yes" if truths[1] else "No"), "relation"
        )
    return None


def _move(scene: Scene, t: Thing, x: float, y: float) -> None:
    assert t.sprite is not None
    long, (h, w) = scene.long_side, t.sprite.shape[:2]
    t.left, t.top = round(x * long - w / 2), round(y * long - h / 2)
    t.box = (t.left / long, t.top / long, (t.left + w) / long, (t.top + h) / long)


def _fits(view: View, things: list[Thing]) -> bool:
    """Whether all are inside of the image, and none touches another."""
    boxes = [t.box for t in things]
    inside = all(
        0.5 - h <= box[k] and box[k + 2] <= 0.5 + h for box in boxes for k, h in enumerate(view.half)
    )
    return inside and not any(_touch(boxes[i], boxes[j]) for i in range(len(boxes)) for j in range(i))


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


_MAKERS = {"presence": _presence, "count": _count, "colour": _colour, "relation": _relation}


def pair(rng: np.random.Generator, draw: Random, scene: Scene, made: Counter[str]) -> Pair | None:
    """A pair made of this scene, of the category of which the fewest were made; None where it gives none."""
    view = View(scene)
    if not view.objects or not _free(scene):
        return None
    makers = sorted(_MAKERS, key=lambda name: made[name])
    return next(
        filter(None, (_MAKERS[name](rng, draw, scene, view) for name in makers for _ in range(8))), None
    )
