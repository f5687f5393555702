"""What can be said of a scene: which things a noun phrase means, how things stand, which is larger.

All of it is strict: what somebody could argue about is None, and no question is asked of it. Places are
compared by the things' centres in the padded square, with a margin.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from ..kinds import GROUPS, KINDS, SHAPES
from ..world import Scene, Thing
from .question import plural

MARGIN = 0.045
LARGER = 1.4  # ratio of the boxes' areas from which on nobody doubts which is the larger
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")

_FRUIT = {"apple", "banana", "lemon", "pear", "strawberry", "peach", "pineapple", "watermelon"}
_FLOWERS = {"sunflower", "tulip", "rose"}
# Nouns of several kinds: what they mean for sure, and what somebody might call so too.
GROUP_NOUNS: dict[str, tuple[set[str], set[str]]] = {
    "animal": (set(GROUPS["animals"]), {"snowman"}),
    "bird": ({"penguin", "owl", "duck", "chicken"}, set()),
    "insect": ({"butterfly", "bee", "ladybug"}, {"spider", "snail"}),
    "fruit": (_FRUIT, {"tomato", "carrot", "mushroom"}),
    "vehicle": (set(GROUPS["vehicles"]), set()),
    "piece of clothing": (
        {"shirt", "dress", "hat", "shoe", "tie"},
        {"crown", "handbag", "backpack", "boxing glove"},
    ),
    "piece of furniture": ({"bed", "couch", "chair"}, {"bathtub", "toilet", "door", "television"}),
    "plant": (set(GROUPS["plants"]) - {"leaf"}, {"leaf", *GROUPS["food"]}),
    "flower": (_FLOWERS, {"cactus"}),
    "ball": ({"soccer ball", "basketball", "football"}, {"lollipop"}),
    "musical instrument": ({"guitar", "violin", "trumpet", "drum"}, {"microphone", "bell"}),
    "building": ({"house", "castle"}, {"tent"}),
    "shape": (set(SHAPES), set()),
}
GENERIC = ("object", "thing", "item")
# Kinds that a noun might also mean, beside its own. Where one of them is in sight the noun is not used.
ALIKE: dict[str, frozenset[str]] = {noun: frozenset(alike) for noun, (_, alike) in GROUP_NOUNS.items()} | {
    "tree": frozenset(("pine tree", "palm tree")),
    "bear": frozenset(("panda", "koala")),
    "football": frozenset(("soccer ball",)),
    "hat": frozenset(("snowman", "crown")),
    "candle": frozenset(("cake",)),
    "cloud": frozenset(("rainbow",)),
    "circle": frozenset(("ring", "soccer ball", "basketball")),
    "ring": frozenset(("doughnut",)),
}
# Written words are no objects: no count and no "largest object" has them.
NOUNS: dict[str, frozenset[str]] = {
    **{kind: frozenset((kind,)) for kind in KINDS},
    **{noun: frozenset(own) for noun, (own, _) in GROUP_NOUNS.items()},
    **{noun: frozenset(KINDS) - {"word"} for noun in GENERIC},
}
GROUPS_OF = {kind: tuple(noun for noun, (own, _) in GROUP_NOUNS.items() if kind in own) for kind in KINDS}
_NOTHING: frozenset[str] = frozenset()


class Noun(NamedTuple):
    """A noun phrase without its article: size, colour, noun."""

    size: str | None
    colour: str | None
    noun: str

    def text(self) -> str:
        return " ".join(filter(None, self))

    def plural(self) -> str:
        return " ".join(filter(None, (self.size, self.colour, plural(self.noun))))


RELATIONS = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
RELATION_WORDS = {
    "left": ("to the left of", "to the left of", "left of", "on the left of"),
    "right": ("to the right of", "to the right of", "right of", "on the right of"),
    "above": ("above", "above", "higher than"),
    "below": ("below", "below", "under", "lower than"),
}
# Of those, the ones that can follow a noun: "the dog left of the car".
RELATION_PHRASES = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below", "under"),
}


class View:
    """A scene with what questions ask again and again."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.things: list[Thing] = scene.things
        self.x = [(t.box[0] + t.box[2]) / 2 for t in self.things]
        self.y = [(t.box[1] + t.box[3]) / 2 for t in self.things]
        self.area = [(t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) for t in self.things]
        self.word = next((i for i, t in enumerate(self.things) if t.kind == "word"), None)
        self.objects = [i for i, t in enumerate(self.things) if t.kind != "word"]
        self.kinds = sorted({t.kind for t in self.things} - {"word"})
        long = max(scene.width, scene.height)
        self.half = (scene.width / long / 2, scene.height / long / 2)
        self._meanings: dict[Noun, tuple[int, ...] | None] = {}
        self._named: dict[int, list[Noun]] = {}

    def meaning(self, phrase: Noun) -> tuple[int, ...] | None:
        """The things that the phrase means, () if there are none; None where it could be argued."""
        if phrase in self._meanings:
            return self._meanings[phrase]
        result = self._meanings[phrase] = self._find(phrase)
        return result

    def _find(self, phrase: Noun) -> tuple[int, ...] | None:
        size, colour, noun = phrase
        if noun.startswith('word "'):
            own, alike = NOUNS["word"], _NOTHING
        else:
            own, alike = NOUNS[noun], ALIKE.get(noun, _NOTHING)
        members = []
        for i, t in enumerate(self.things):
            if t.kind not in own and t.kind not in alike or (size and t.size != size):
                continue
            if colour and t.colour != colour:
                if t.colour is None:
                    return None  # natural colours may well have this one among them
                continue
            if t.kind not in own:
                return None
            if noun == "word" or own is not NOUNS["word"] or noun == f'word "{t.text.lower()}"':
                members.append(i)
        return tuple(members)

    def names(self, index: int) -> list[Noun]:
        """Noun phrases that mean this thing alone, the plain ones first."""
        if index in self._named:
            return self._named[index]
        t = self.things[index]
        c, z, k = t.colour, t.size, t.kind
        if k == "word":
            options = [Noun(None, None, "word"), Noun(None, None, f'word "{t.text.lower()}"')]
            options += [Noun(None, c, "word")] if c else []
        else:
            nouns = (k, *GROUPS_OF[k], GENERIC[index % 3])
            options = [Noun(None, None, k)]
            if c:
                options += [Noun(None, c, n) for n in nouns]
            options += [Noun(z, None, n) for n in nouns]
            if c:
                options += [Noun(z, c, n) for n in nouns]
            options += [Noun(None, None, n) for n in nouns[1:]]
        only = (index,)
        result = self._named[index] = [o for o in options if self.meaning(o) == only]
        return result

    def holds(self, a: int, relation: str, b: int) -> bool | None:
        """Whether a stands in the relation to b; None where it is too close to say."""
        axis, sign = RELATIONS[relation]
        centres = (self.x, self.y)[axis]
        difference = (centres[a] - centres[b]) * sign
        p, q = self.things[a].box, self.things[b].box
        extent = min(p[axis + 2] - p[axis], q[axis + 2] - q[axis])
        return None if abs(difference) < max(MARGIN, 0.3 * extent) else difference > 0

    def extreme(self, members: tuple[int, ...] | list[int], largest: bool) -> int | None:
        """The member that is clearly the largest or smallest by its box, if there is one; of two at least."""
        order = sorted(members, key=lambda i: self.area[i], reverse=largest)
        a, b = self.area[order[0]], self.area[order[1]]
        return order[0] if max(a, b) > LARGER * min(a, b) else None

    def ordered(self, members: tuple[int, ...], axis: int) -> list[int] | None:
        """The members along an axis (0: from the left, 1: from the top); None where two are too close."""
        centres = (self.x, self.y)[axis]
        order = sorted(members, key=lambda i: centres[i])
        close = any(centres[b] - centres[a] < MARGIN for a, b in pairwise(order))
        return None if close else order

    def cell(self, index: int) -> tuple[int, int]:
        """Column and row (-1, 0, 1) of the thing's centre in thirds of the image."""
        u = (self.x[index] - 0.5) / self.half[0]
        v = (self.y[index] - 0.5) / self.half[1]
        return _third(u), _third(v)


def _third(value: float) -> int:
    return -1 if value < -1 / 3 else 1 if value > 1 / 3 else 0
