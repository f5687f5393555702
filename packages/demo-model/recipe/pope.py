"""POPE's questions: whether a thing is in the picture.

Yes and no are asked by turns. What is not there is drawn as in the paper, by the pictures of one split: random, any
kind; popular, one of the commonest; adversarial, one of those that most often stand beside what is there. Two kinds
are our own: similar, of the same group as something that is there; attribute, there but in another colour or size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random

from .kinds import GROUPS, ICONS, SHAPES
from .tasks.basic import some_noun
from .tasks.phrases import absent_noun
from .tasks.view import Noun, View

POPE = ("random", "popular", "adversarial", "similar", "attribute")
POPULAR = 30  # kinds that count as popular
BESIDE = 5  # kinds that stand beside a picture's most often
TRIES = 48
_GROUP_OF = {kind: kinds for kinds in GROUPS.values() for kind in kinds}


class Kinds:
    """Which kinds the pictures of one split may show, which are common, and which stand together."""

    def __init__(self, views: list[View], held_out: bool) -> None:
        self.all = (*ICONS, *(() if held_out else SHAPES))
        common = Counter(kind for view in views for kind in view.kinds)
        self.common = sorted(self.all, key=lambda kind: -common[kind])
        self.beside: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for view in views:
            for kind in view.kinds:
                self.beside[kind].update(view.kinds)

    def absent(self, view: View, how: str) -> list[Noun]:
        """What to ask for that is not there."""
        pool: tuple[str, ...] | list[str] = self.all
        if how == "popular":
            pool = self.common[:POPULAR]
        elif how == "adversarial":
            together: Counter[str] = Counter()
            for kind in view.kinds:
                together.update(self.beside[kind])
            pool = sorted(self.common, key=lambda kind: -together[kind])
        elif how == "similar":
            pool = [other for kind in view.kinds for other in _GROUP_OF[kind]]
        nouns = [n for n in (Noun(None, None, kind) for kind in pool) if view.meaning(n) == ()]
        return nouns[:BESIDE] if how == "adversarial" else nouns


def _attribute(draw: Random, view: View, yes: bool) -> list[Noun]:
    """A kind with a colour or a size; the kind is there, whether in this one or in another."""
    for _ in range(TRIES):
        found = None if yes else absent_noun(draw, view, "attribute")
        noun = some_noun(draw, view) if yes else found[0] if found else None
        if noun is None or not (noun.size or noun.colour) or noun.noun not in view.kinds:
            continue
        members = view.meaning(noun)
        if members is not None and bool(members) == yes:
            return [noun]
    return []


def pope(draw: Random, views: list[View], held_out: bool) -> Iterator[tuple[int, str, Noun, bool]]:
    """The picture's number, the kind of negatives, what is asked for, and whether it is there: of each kind one
    question a picture, where there is one, and as many yes as no."""
    kinds = Kinds(views, held_out)
    asked: Counter[str] = Counter()
    for number, view in enumerate(views):
        said: set[Noun] = set()
        for turn, how in enumerate(POPE):
            yes = (asked[how] + turn) % 2 == 0
            if how == "attribute":
                nouns = _attribute(draw, view, yes)
            elif yes:
                nouns = [n for n in (Noun(None, None, kind) for kind in view.kinds) if view.meaning(n)]
                # A picture of one kind has its yes more than once, as in the paper's files.
                nouns = [n for n in nouns if n not in said] or nouns
            else:
                nouns = [n for n in kinds.absent(view, how) if n not in said]
            if nouns:
                noun = draw.choice(nouns)
                said.add(noun)
                asked[how] += 1
                yield number, how, noun, yes
