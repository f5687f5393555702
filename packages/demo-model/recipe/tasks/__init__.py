"""The tasks: questions about a scene, their answers, and what each refers to.

Every phrase names exactly one thing, and what somebody could argue about is not asked. `ask_all` is the
mixture that training sees; `recipe/benchmark.py` asks the same makers task by task.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from random import Random

from ..world import Scene
from .basic import ask_colour, ask_count, ask_kind, ask_many, ask_presence, ask_reading, ask_size
from .caption import ask_caption, ask_detailed, ask_list
from .dialogue import turns
from .ground import ask_absent, ask_describe, ask_ground, ask_naming
from .question import DESCRIBE, GROUND, HINT, PLURALS, Mention, Question, box_text
from .relation import ask_extreme, ask_front, ask_larger, ask_relation, ask_side, ask_what_is
from .view import View

__all__ = ("DESCRIBE", "GROUND", "HINT", "MIXTURE", "PLURALS", "TASK_NAMES", "Mention", "Question", "View")
__all__ += ("ask_all", "box_text", "dialogue")

Maker = Callable[[Random, View], Question | None]
# The training mixture: what is hard has the larger share.
MIXTURE: tuple[tuple[Maker, float], ...] = (
    (ask_ground, 0.24),
    (ask_count, 0.26),
    (ask_relation, 0.11),
    (ask_presence, 0.1),
    (ask_naming, 0.07),
    (ask_what_is, 0.06),
    (ask_extreme, 0.04),
    (ask_kind, 0.04),
    (ask_colour, 0.03),
    (ask_larger, 0.03),
    (ask_front, 0.05),
    (ask_size, 0.02),
    (ask_reading, 0.09),
    (ask_side, 0.02),
    (ask_describe, 0.02),
    (ask_caption, 0.03),
    (ask_detailed, 0.015),
    (ask_list, 0.02),
    (ask_absent, 0.02),
)
MIXED = 0.35  # share of the dialogues whose questions have nothing to do with each other, as people ask
_MAKERS, _SHARES = zip(*MIXTURE)
_SUMS = list(accumulate(_SHARES))
# Every task name of the mixture and of dialogues.
TASK_NAMES = (
    *("caption_short", "caption_detailed", "count", "presence", "colour", "size", "kind", "attribute_yes_no"),
    *("reading", "reading_absent", "reading_yes_no", "relation_yes_no", "relation_what", "side", "larger"),
    *(
        "larger_yes_no",
        "extreme",
        "front",
        "front_yes_no",
        "describe",
        "naming",
        "absent_llava",
        "absent_where",
    ),
    *("ground_attribute", "ground_ordinal", "ground_relation", "ground_extreme", "ground_group", "ground_it"),
    *("list", "absent_asked"),
)


def ask_all(draw: Random, scene: Scene, count: int, many: float = 0.0) -> list[Question]:
    """`count` different questions of the mixture, a share `many` of `ask_many` instead; fewer where the scene has not
    so many."""
    view = View(scene)
    questions: dict[tuple[object, ...], Question] = {}
    for _ in range(3 * count):
        if len(questions) >= count:
            break
        maker = ask_many if many and draw.random() < many else draw.choices(_MAKERS, cum_weights=_SUMS)[0]
        # Some questions need a lucky draw (a relation that picks one thing): they get several.
        for _ in range(4):
            question = maker(draw, view)
            if question and question.same() not in questions:
                questions[question.same()] = question
                break
    return list(questions.values())


def dialogue(draw: Random, scene: Scene) -> list[Question]:
    """A dialogue of two to four turns, the later ones mostly about what came before; [] if none came up."""
    if draw.random() < MIXED:
        return ask_all(draw, scene, draw.randint(2, 4))
    view = View(scene)
    return next((found for found in (turns(draw, view) for _ in range(8)) if found), [])
