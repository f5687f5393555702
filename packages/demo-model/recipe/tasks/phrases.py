"""Phrases that name one thing, as in RefCOCO: by attribute, group, ordinal, relation or extreme. And none."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ..kinds import COLOUR_NAMES, GROUPS, KINDS, SHAPES
from ..world import SIZE_NAMES
from .question import Mention
from .view import GENERIC, GROUP_NOUNS, GROUPS_OF, ORDINALS, RELATION_PHRASES, Noun, View

PHRASE_KINDS = ("attribute", "ordinal", "relation", "extreme", "group")
PHRASE_SHARES = (0.26, 0.36, 0.2, 0.1, 0.08)
LARGEST = ("largest", "largest", "biggest")
SIDES = (("left", "right"), ("top", "bottom"))
ENDS = (("leftmost", "rightmost"), ("topmost", "lowest"))
_GROUP_OF = {kind: kinds for kinds in GROUPS.values() for kind in kinds}
_NO_WORDS = KINDS[:-1]


@dataclass(slots=True)
class Phrase:
    """`text` has no article; `index` is the thing that it names, None when there is no such thing."""

    text: str
    index: int | None
    kind: str
    mentions: tuple[Mention, ...]


def mention(view: View, noun: Noun) -> Mention:
    return noun.text(), view.meaning(noun) or ()


def one(draw: Random, view: View, index: int, of: list[Noun] | None = None) -> Noun | None:
    """A noun phrase that means this thing alone: the plainest, or any."""
    names = view.names(index) if of is None else of
    if not names:
        return None
    return names[0] if draw.random() < 0.5 else draw.choice(names)


def heads(draw: Random, view: View, index: int) -> list[Noun]:
    """Noun phrases that mean this thing and at least one other."""
    t = view.things[index]
    if t.kind == "word":
        return []
    generic = draw.choice(GENERIC)
    options = [
        Noun(None, None, t.kind),
        *(Noun(None, None, g) for g in GROUPS_OF[t.kind]),
        Noun(None, None, generic),
    ]
    options += [Noun(t.size, None, t.kind), Noun(t.size, None, generic)]
    if t.colour:
        options += [Noun(None, t.colour, t.kind), Noun(None, t.colour, generic)]
    return [o for o in options if len(view.meaning(o) or ()) > 1]


def _head(draw: Random, view: View, index: int) -> Noun | None:
    found = heads(draw, view, index)
    return None if not found else found[0] if draw.random() < 0.3 else draw.choice(found)


def _attribute(draw: Random, view: View, index: int) -> Phrase | None:
    noun = one(draw, view, index, [n for n in view.names(index) if n.noun not in GROUP_NOUNS])
    return Phrase(noun.text(), index, "attribute", (mention(view, noun),)) if noun else None


def _group(draw: Random, view: View, index: int) -> Phrase | None:
    noun = one(draw, view, index, [n for n in view.names(index) if n.noun in GROUP_NOUNS])
    return Phrase(noun.text(), index, "group", (mention(view, noun),)) if noun else None


def _ordinal(draw: Random, view: View, index: int) -> Phrase | None:
    head = _head(draw, view, index)
    if head is None:
        return None
    members = view.meaning(head) or ()
    axis = draw.randrange(2)
    order = view.ordered(members, axis)
    if order is None:
        return None
    side = draw.randrange(2)
    place = order.index(index)
    if side:
        place = len(order) - 1 - place
    words = head.text()
    chance = draw.random()
    if place == 0 and chance < 0.2:
        text = f"{ENDS[axis][side]} {words}"
    elif place == 0 and len(order) == 2 and chance < 0.5:
        lead = ("on", "at")[axis]
        text = f"{words} {lead} the {SIDES[axis][side]}" if chance < 0.35 else f"{SIDES[axis][side]} {words}"
    else:
        text = f"{ORDINALS[place]} {words} from the {SIDES[axis][side]}"
    return Phrase(text, index, "ordinal", ((words, members),))


def _extreme(draw: Random, view: View, index: int) -> Phrase | None:
    head = _head(draw, view, index)
    if head is None:
        return None
    members = view.meaning(head) or ()
    largest = draw.random() < 0.5
    if head.size or view.extreme(members, largest) != index:
        return None
    word = draw.choice(LARGEST) if largest else "smallest"
    return Phrase(f"{word} {head.text()}", index, "extreme", ((head.text(), members),))


def _relation(draw: Random, view: View, index: int) -> Phrase | None:
    if len(view.things) < 2 or view.things[index].kind == "word":
        return None
    anchor = draw.choice([i for i in range(len(view.things)) if i != index])
    noun = one(draw, view, anchor)
    if noun is None:
        return None
    found = heads(draw, view, index)
    if not found or draw.random() < 0.2:
        found = [n for n in view.names(index) if n.size is None]
    if not found:
        return None
    head = draw.choice(found)
    members = view.meaning(head) or ()
    relation = draw.choice([r for r in RELATION_PHRASES if view.holds(index, r, anchor)] or [""])
    if not relation or any(
        view.holds(i, relation, anchor) is not False for i in members if i not in (index, anchor)
    ):
        return None
    text = f"{head.text()} {draw.choice(RELATION_PHRASES[relation])} the {noun.text()}"
    return Phrase(text, index, "relation", ((head.text(), members), (noun.text(), (anchor,))))


_MAKERS = (_attribute, _ordinal, _relation, _extreme, _group)


def phrase(draw: Random, view: View, kind: str | None = None) -> Phrase | None:
    """A phrase of the kind given, or of any; by attribute where the kind drawn is not to be had."""
    first = PHRASE_KINDS.index(kind) if kind else draw.choices(range(5), PHRASE_SHARES)[0]
    for number in (first,) if kind else (first, 0):
        for _ in range(6):
            found = _MAKERS[number](draw, view, draw.randrange(len(view.things)))
            if found:
                return found
    return None


# --- of nothing -------------------------------------------------------------------------------------------------


def absent_noun(draw: Random, view: View, kind: str | None = None) -> tuple[Noun, str] | None:
    """A noun phrase that means nothing here, and how it was made: random, popular, adversarial or attribute.

    Adversarial: a kind of the same group as one that is there. Attribute: the kind is there, in another
    colour or size.
    """
    for _ in range(8):
        how = kind or draw.choices(("random", "adversarial", "attribute"), (0.25, 0.35, 0.4))[0]
        t = view.things[draw.choice(view.objects)] if view.objects else None
        if how == "random" or t is None:
            noun = Noun(None, None, draw.choice(_NO_WORDS))
        elif how == "adversarial":
            noun = Noun(None, None, draw.choice(_GROUP_OF[t.kind]))
            if draw.random() < 0.4:
                noun = Noun(None, None, draw.choice(tuple(GROUP_NOUNS)))
        else:
            noun = _other_attribute(draw, view, t.kind, t.colour, t.size)
        if how != "attribute" and draw.random() < 0.15:
            noun = noun._replace(colour=draw.choice(COLOUR_NAMES))
        if view.meaning(noun) == ():
            return noun, how
    return None


def _other_attribute(draw: Random, view: View, kind: str, colour: str | None, size: str) -> Noun:
    """The kind in another colour or size, mostly one that something else here has."""
    others = [o.colour for o in view.things if o.colour]
    chance = draw.random()
    if draw.random() < 0.15 and all(o.colour for o in view.things):
        return Noun(None, draw.choice(COLOUR_NAMES), draw.choice(GENERIC))
    if chance < 0.4 and draw.random() < 0.2:
        kind = draw.choice((*GROUPS_OF[kind], kind))
    if chance < 0.22:
        return Noun(draw.choice(SIZE_NAMES), None, kind)
    if chance < 0.28 and colour:
        return Noun(draw.choice(SIZE_NAMES), colour, kind)
    if chance < 0.4:
        return Noun(None, draw.choice(COLOUR_NAMES), kind)
    if chance < 0.55 and colour:
        # Its colour on another kind: of what is here, or a shape.
        other = draw.choice([o.kind for o in view.things if o.kind != "word"] + list(SHAPES))
        return Noun(None, colour, other)
    new = draw.choice(others) if others and draw.random() < 0.6 else draw.choice(COLOUR_NAMES)
    return Noun(None, new, kind)


def absent_phrase(draw: Random, view: View) -> Phrase | None:
    """A phrase of a thing that is not there: mostly a plain one, some by ordinal or relation."""
    chance = draw.random()
    if chance < 0.12 and view.objects:
        index = draw.choice(view.objects)
        found = heads(draw, view, index)
        if not found:
            return None
        head = draw.choice(found)
        members = view.meaning(head) or ()
        place, (axis, side) = len(members), (draw.randrange(2), draw.randrange(2))
        if place > 4:
            return None
        text = f"{ORDINALS[place]} {head.text()} from the {SIDES[axis][side]}"
        return Phrase(text, None, "ordinal", ((head.text(), members),))
    if chance < 0.24 and view.objects:
        index = draw.choice(view.objects)
        anchor = draw.randrange(len(view.things))
        noun, head = one(draw, view, anchor), Noun(None, None, view.things[index].kind)
        relation = draw.choice(tuple(RELATION_PHRASES))
        members = view.meaning(head)
        if noun is None or not members or anchor in members:
            return None
        if any(view.holds(i, relation, anchor) is not False for i in members):
            return None
        text = f"{head.text()} {draw.choice(RELATION_PHRASES[relation])} the {noun.text()}"
        return Phrase(text, None, "relation", ((head.text(), members), (noun.text(), (anchor,))))
    found = absent_noun(draw, view)
    return Phrase(found[0].text(), None, found[1], ((found[0].text(), ()),)) if found else None
