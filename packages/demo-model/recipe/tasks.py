"""The tasks: questions about a scene, their answers, and what each refers to.

Every phrase names exactly one object. Places are compared by the objects' centres, with a margin, so that nobody could
argue about an answer. `ask_all` is the mixture that training and evaluation share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .world import COLOUR_NAMES, SHAPES, SIZE_NAMES, Scene, Thing

MARGIN = 0.045
ORDINALS = ("first", "second", "third", "fourth", "fifth")
PLURALS = {s: s + ("es" if s.endswith("s") else "s") for s in SHAPES}
GROUND = "Please provide the bounding box coordinate of the region this sentence describes: {}"
DESCRIBE = "Please provide a short description for this region: {}"
Rng = np.random.Generator


@dataclass
class Question:
    """`refers` are indices into the scene's things; `box` is the referent's in the padded square."""

    task: str
    prompt: str
    answer: str
    refers: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def box_text(box: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{min(max(round(v * 100), 0), 100) / 100:.2f}" for v in box) + "]"


def pick(rng: Rng, options: tuple[str, ...] | list[str]) -> str:
    return options[int(rng.integers(len(options)))]


def noun(rng: Rng) -> str:
    return pick(rng, ("object", "object", "shape", "thing"))


def unique_pairs(scene: Scene) -> list[int]:
    """Objects whose colour and shape together occur once."""
    keys = [(t.colour, t.shape) for t in scene.things]
    return [i for i, k in enumerate(keys) if keys.count(k) == 1]


# --- phrases ----------------------------------------------------------------------------------------------------

# A description: its words after "the", and the filter it stands for.
Description = tuple[str, Callable[[Thing], bool]]


def _descriptions(rng: Rng, t: Thing) -> list[Description]:
    """Ways to describe a thing by attributes, from rich to poor."""
    c, s, z, n = t.colour, t.shape, t.size, noun(rng)
    return [
        (f"{c} {s}", lambda o: o.colour == c and o.shape == s),
        (f"{z} {c} {s}", lambda o: o.colour == c and o.shape == s and o.size == z),
        (s, lambda o: o.shape == s),
        (f"{c} {n}", lambda o: o.colour == c),
        (f"{z} {s}", lambda o: o.shape == s and o.size == z),
        (f"{z} {c} {n}", lambda o: o.colour == c and o.size == z),
    ]


def attribute_phrase(rng: Rng, scene: Scene, index: int) -> str | None:
    options = [
        words for words, test in _descriptions(rng, scene.things[index]) if sum(test(o) for o in scene.things) == 1
    ]
    if not options:
        return None
    return options[0] if options[0].count(" ") == 1 and rng.random() < 0.4 else pick(rng, options)


def _groups(rng: Rng, scene: Scene, index: int) -> list[tuple[str, list[int]]]:
    """Groups of at least two that the thing belongs to: by shape, colour, both, or everything."""
    t, n = scene.things[index], noun(rng)
    tests: list[Description] = [
        (t.shape, lambda o: o.shape == t.shape),
        (f"{t.colour} {n}", lambda o: o.colour == t.colour),
        (f"{t.colour} {t.shape}", lambda o: o.colour == t.colour and o.shape == t.shape),
        (n, lambda o: True),
    ]
    groups = [(words, [i for i, o in enumerate(scene.things) if test(o)]) for words, test in tests]
    return [(words, members) for words, members in groups if len(members) >= 2]


def ordinal_phrase(rng: Rng, scene: Scene, index: int) -> str | None:
    groups = _groups(rng, scene, index)
    if not groups:
        return None
    words, members = groups[int(rng.integers(len(groups)))]
    axis, side = int(rng.integers(2)), int(rng.integers(2))
    centres = {i: (scene.things[i].cx, scene.things[i].cy)[axis] for i in members}
    order = sorted(members, key=lambda i: centres[i], reverse=bool(side))
    if any(abs(centres[a] - centres[b]) < MARGIN for a, b in zip(order, order[1:])):
        return None
    place = order.index(index)
    start = (("left", "right"), ("top", "bottom"))[axis][side]
    if place == 0 and rng.random() < 0.5:
        return f"{(('leftmost', 'rightmost'), ('top', 'bottom'))[axis][side]} {words}"
    return f"{ORDINALS[place]} {words} from the {start}"


RELATIONS = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
RELATION_WORDS = {"left": ("left of", "to the left of"), "right": ("right of", "to the right of"), "above": ("above",), "below": ("below", "under")}  # fmt: skip


def holds(a: Thing, relation: str, b: Thing) -> bool | None:
    """Whether a stands in the relation to b; None where it is too close to say."""
    axis, sign = RELATIONS[relation]
    difference = ((a.cx - b.cx), (a.cy - b.cy))[axis] * sign
    return None if abs(difference) < MARGIN else difference > 0


def size_extreme(scene: Scene, members: list[int], largest: bool) -> int | None:
    """The member that is clearly the largest or smallest by its box, if there is one."""
    order = sorted(members, key=lambda i: scene.things[i].area, reverse=largest)
    a, b = scene.things[order[0]].area, scene.things[order[1]].area
    return order[0] if max(a, b) > 1.35 * min(a, b) else None


def relation_phrase(rng: Rng, scene: Scene, index: int) -> str | None:
    things = scene.things
    if len(things) < 2:
        return None
    if rng.random() < 0.3:
        groups = _groups(rng, scene, index)
        words, members = groups[int(rng.integers(len(groups)))]
        largest = bool(rng.integers(2))
        if size_extreme(scene, members, largest) != index:
            return None
        return f"{'largest' if largest else 'smallest'} {words}"
    anchors = [i for i in unique_pairs(scene) if i != index]
    if not anchors:
        return None
    anchor = things[anchors[int(rng.integers(len(anchors)))]]
    t, n = things[index], noun(rng)
    options: list[Description] = [(t.shape, lambda o: o.shape == t.shape), (f"{t.colour} {n}", lambda o: o.colour == t.colour), (n, lambda o: True)]  # fmt: skip
    phrases = []
    for relation in RELATIONS:
        if not holds(t, relation, anchor):
            continue
        for words, test in options:
            others = [o for o in things if o is not t and o is not anchor and test(o)]
            # The relation must be needed, or the words would already do, and must pick one.
            if (others or words == n) and all(holds(o, relation, anchor) is False for o in others):
                phrases.append(f"{words} {pick(rng, RELATION_WORDS[relation])} the {anchor.colour} {anchor.shape}")
    return pick(rng, phrases) if phrases else None


KINDS = ("attribute", "ordinal", "relation")


def phrase(rng: Rng, scene: Scene, kinds: tuple[float, float, float] = (0.6, 0.2, 0.2)) -> tuple[str, int, str] | None:
    """A phrase without its article, the thing it names, and its kind; by attributes where the kind drawn is not to be had."""
    makers = (attribute_phrase, ordinal_phrase, relation_phrase)
    for kind in (int(rng.choice(3, p=kinds)), 0):
        for _ in range(5):
            index = int(rng.integers(len(scene.things)))
            words = makers[kind](rng, scene, index)
            if words:
                return words, index, KINDS[kind]
    return None


# --- questions --------------------------------------------------------------------------------------------------


def ask_ground(rng: Rng, scene: Scene) -> Question | None:
    found = phrase(rng, scene)
    if not found:
        return None
    words, index, kind = found
    lead = "the " if rng.random() < 0.8 else ""
    box = scene.things[index].box
    return Question(f"ground_{kind}", GROUND.format(lead + words), box_text(box), (index,), box)


def absent_pair(rng: Rng, scene: Scene) -> tuple[str, str]:
    """A colour and shape that do not occur together; mostly one or both of them do occur."""
    pairs = {(t.colour, t.shape) for t in scene.things}
    for _ in range(20):
        t = scene.things[int(rng.integers(len(scene.things)))]
        other = scene.things[int(rng.integers(len(scene.things)))]
        kind = rng.random()
        if kind < 0.35:
            pair = (t.colour, other.shape)
        elif kind < 0.6:
            pair = (t.colour, pick(rng, SHAPES))
        elif kind < 0.85:
            pair = (pick(rng, COLOUR_NAMES), t.shape)
        else:
            pair = (pick(rng, COLOUR_NAMES), pick(rng, SHAPES))
        if pair not in pairs:
            return pair
    return next((c, s) for c in COLOUR_NAMES for s in SHAPES if (c, s) not in pairs)


def ask_where(rng: Rng, scene: Scene) -> Question | None:
    start = pick(rng, ("Where is the", "Where is the", "Where's the", "Find the", "Locate the", "where is the"))
    end = "?" if start.lower().startswith("where") else "."
    if rng.random() < 0.2:
        colour, shape = absent_pair(rng, scene)
        return Question("where_absent", f"{start} {colour} {shape}{end}", f"There is no {colour} {shape}.")
    found = phrase(rng, scene)
    if not found:
        return None
    words, index, _ = found
    box = scene.things[index].box
    return Question("where", f"{start} {words}{end}", box_text(box), (index,), box)


def ask_describe(rng: Rng, scene: Scene) -> Question:
    index = int(rng.integers(len(scene.things)))
    t = scene.things[index]
    jittered = tuple(float(v + rng.normal() * 0.006) for v in t.box)
    return Question(
        "describe", DESCRIBE.format(box_text(jittered)), article(f"{t.size} {t.colour} {t.shape}"), (index,)
    )


def ask_count(rng: Rng, scene: Scene) -> Question:
    things = scene.things
    kind = rng.random()
    t = things[int(rng.integers(len(things)))]
    present = rng.random() < 0.88
    if kind < 0.25:
        words, members = noun(rng) + "s", list(range(len(things)))
    elif kind < 0.55:
        colour = t.colour if present else pick(rng, COLOUR_NAMES)
        words, members = f"{colour} {noun(rng)}s", [i for i, o in enumerate(things) if o.colour == colour]
    elif kind < 0.85:
        shape = t.shape if present else pick(rng, SHAPES)
        words, members = PLURALS[shape], [i for i, o in enumerate(things) if o.shape == shape]
    else:
        colour, shape = (t.colour, t.shape) if present else absent_pair(rng, scene)
        words = f"{colour} {PLURALS[shape]}"
        members = [i for i, o in enumerate(things) if (o.colour, o.shape) == (colour, shape)]
    form = pick(rng, ("How many {} are there?", "How many {} are there?", "How many {} are in the image?", "How many {} do you see?", "Count the {}.", "how many {} are there?"))  # fmt: skip
    return Question("count", form.format(words), str(len(members)), tuple(members))


def ask_exists(rng: Rng, scene: Scene) -> Question:
    """Yes and no alike often; most negatives have the right colour or the right shape."""
    things = scene.things
    yes = bool(rng.integers(2))
    t = things[int(rng.integers(len(things)))]
    kind = rng.random()
    n = noun(rng)
    if kind < 0.55:
        colour, shape = (t.colour, t.shape) if yes else absent_pair(rng, scene)
        words = f"{colour} {shape}"
        members = [i for i, o in enumerate(things) if (o.colour, o.shape) == (colour, shape)]
    elif kind < 0.7:
        shapes = [s for s in SHAPES if all(o.shape != s for o in things)]
        shape = t.shape if yes else pick(rng, shapes)
        words, members = shape, [i for i, o in enumerate(things) if o.shape == shape]
    elif kind < 0.85:
        colours = [c for c in COLOUR_NAMES if all(o.colour != c for o in things)]
        colour = t.colour if yes else pick(rng, colours)
        words, members = f"{colour} {n}", [i for i, o in enumerate(things) if o.colour == colour]
    else:
        sizes = {o.size for o in things if o.shape == t.shape and o.colour == t.colour}
        absent = [z for z in SIZE_NAMES if z not in sizes]
        size = t.size if yes or not absent else pick(rng, absent)
        words = f"{size} {t.colour} {t.shape}"
        members = [i for i, o in enumerate(things) if (o.size, o.colour, o.shape) == (size, t.colour, t.shape)]
    form = pick(rng, ("Is there {}?", "Is there {}?", "Is there {} in the image?", "Do you see {}?", "Can you see {}?", "is there {}?"))  # fmt: skip
    return Question("exists", form.format(article(words)), "Yes" if members else "No", tuple(members))


def ask_attribute(rng: Rng, scene: Scene) -> Question | None:
    """The colour, shape or size of a thing that is named without it."""
    things = scene.things
    index = int(rng.integers(len(things)))
    t = things[index]
    kind = rng.random()
    n = noun(rng)
    if kind < 0.4:
        options: list[Description] = [(t.shape, lambda o: o.shape == t.shape), (f"{t.size} {t.shape}", lambda o: o.shape == t.shape and o.size == t.size), (f"{t.size} {n}", lambda o: o.size == t.size)]  # fmt: skip
        forms, answer, task = ("What colour is the {}?", "What color is the {}?", "Which colour does the {} have?"), t.colour, "colour"  # fmt: skip
    elif kind < 0.8:
        options = [(f"{t.colour} {n}", lambda o: o.colour == t.colour), (f"{t.size} {t.colour} {n}", lambda o: o.colour == t.colour and o.size == t.size), (f"{t.size} {n}", lambda o: o.size == t.size)]  # fmt: skip
        forms, answer, task = (
            ("What shape is the {}?", "What shape is the {}?", "Which shape does the {} have?"),
            t.shape,
            "shape",
        )
    else:
        options = [(f"{t.colour} {t.shape}", lambda o: (o.colour, o.shape) == (t.colour, t.shape)), (t.shape, lambda o: o.shape == t.shape), (f"{t.colour} {n}", lambda o: o.colour == t.colour)]  # fmt: skip
        forms, answer, task = ("What size is the {}?", "How large is the {}?", "How big is the {}?"), t.size, "size"
    fit = [words for words, test in options if sum(test(o) for o in things) == 1]
    if not fit:
        place = ordinal_phrase(rng, scene, index)
        if not place or t.colour in place and task == "colour" or t.shape in place and task == "shape":
            return None
        fit = [place]
    return Question(task, pick(rng, forms).format(pick(rng, fit)), answer, (index,))


def ask_relation(rng: Rng, scene: Scene) -> Question | None:
    things = scene.things
    if len(things) < 2:
        return None
    kind = rng.random()
    if kind < 0.4:
        pairs = unique_pairs(scene)
        if len(pairs) < 2:
            return None
        a, b = rng.choice(pairs, 2, replace=False)
        relation = pick(rng, tuple(RELATIONS))
        truth = holds(things[a], relation, things[b])
        if truth is None:
            return None
        words = pick(rng, RELATION_WORDS[relation])
        prompt = f"Is the {things[a].colour} {things[a].shape} {words} the {things[b].colour} {things[b].shape}?"
        return Question("relation_yes_no", prompt, "Yes" if truth else "No", (int(a), int(b)))
    if kind < 0.7:
        largest = bool(rng.integers(2))
        index = size_extreme(scene, list(range(len(things))), largest)
        word = "largest" if largest else "smallest"
    else:
        anchors = unique_pairs(scene)
        if not anchors:
            return None
        anchor = anchors[int(rng.integers(len(anchors)))]
        relation = pick(rng, tuple(RELATIONS))
        answers = [holds(o, relation, things[anchor]) for i, o in enumerate(things) if i != anchor]
        if None in answers or answers.count(True) != 1:
            return None
        index = [i for i in range(len(things)) if i != anchor][answers.index(True)]
        t, words = things[anchor], pick(rng, RELATION_WORDS[relation])
        prompt = f"What is {words} the {t.colour} {t.shape}?"
        return Question("relation_what", prompt, article(f"{things[index].colour} {things[index].shape}"), (index,))
    if index is None:
        return None
    prompt = pick(rng, ("What is the {} {}?", "Which {} is the {}?")).format(*((word, noun(rng)) if rng.integers(2) else (word, "object")))  # fmt: skip
    if prompt.startswith("Which"):
        prompt = f"Which {noun(rng)} is the {word}?"
    return Question("relation_what", prompt, article(f"{things[index].colour} {things[index].shape}"), (index,))


def ask_caption(rng: Rng, scene: Scene) -> Question:
    """Every object, from left to right."""
    order = sorted(scene.things, key=lambda t: t.cx)
    parts = [article(f"{t.colour} {t.shape}") for t in order]
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    prompt = pick(rng, ("Describe the image.", "Describe this image.", "What is in the image?", "What do you see?", "Caption this image."))  # fmt: skip
    return Question("caption", prompt, text[0].upper() + text[1:] + ".")


# The training mixture: what lags has the larger share.
MIXTURE: tuple[tuple[Callable[[Rng, Scene], Question | None], float], ...] = (
    (ask_ground, 0.14),
    (ask_where, 0.18),
    (ask_count, 0.25),
    (ask_exists, 0.1),
    (ask_attribute, 0.07),
    (ask_relation, 0.17),
    (ask_describe, 0.04),
    (ask_caption, 0.05),
)


def ask_all(rng: Rng, scene: Scene, count: int) -> list[Question]:
    """`count` different questions of the mixture."""
    weights = np.array([w for _, w in MIXTURE])
    weights = weights / weights.sum()
    questions: dict[str, Question] = {}
    for _ in range(4 * count):
        if len(questions) >= count:
            break
        question = MIXTURE[int(rng.choice(len(MIXTURE), p=weights))][0](rng, scene)
        if question:
            questions.setdefault(question.prompt, question)
    return list(questions.values())
