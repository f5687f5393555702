"""Where things stand to each other, which is larger, which is in front."""

from __future__ import annotations

from random import Random

from .phrases import LARGEST, mention, one
from .question import Question, article, short
from .view import GENERIC, LARGER, RELATION_WORDS, RELATIONS, Noun, View

WHAT_IS = (
    "What is {} the {}?",
    "What is {} the {}?",
    "Which object is {} the {}?",
    "What do you see {} the {}?",
    "What can be seen {} the {} in the image?",
    "Name the object {} the {}.",
    "Tell me what is {} the {}.",
    "Please name what is {} the {}.",
    "What thing is {} the {}?",
)
IS_IT = (
    "Is the {a} {r} the {b}?",
    "Is the {a} {r} the {b}?",
    "Is the {a} {r} the {b} in the image?",
    "Can you tell me if the {a} is {r} the {b}?",
    "Please tell me whether the {a} is {r} the {b}.",
    "Do you see the {a} {r} the {b}?",
    "Would you say that the {a} is {r} the {b}?",
)
SIDE = (
    "Is the {} {} or {} of the image?",
    "Is the {} {} or {}?",
    "Is the {} {} or {} of the picture?",
)
SIDES = (("on the left", "on the right"), ("at the top", "at the bottom"))
LARGER_FORMS = (
    "Which is {}, the {} or the {}?",
    "Which one is {}, the {} or the {}?",
    "What is {}, the {} or the {}?",
    "Which object is {}: the {} or the {}?",
)
EXTREME = (
    "What is the {} {}?",
    "What is the {} {} in the image?",
    "Which {1} is the {0}?",
    "Which {1} is the {0} one?",
    "Name the {} {}.",
    "Tell me what the {} {} is.",
    "Please name the {} {} in the image.",
)
FRONT = (
    "Which is {}, the {} or the {}?",
    "Which one is {}, the {} or the {}?",
    "What is {}, the {} or the {}?",
    "Which object is {}: the {} or the {}?",
)


def _pair(draw: Random, view: View) -> tuple[int, Noun, int, Noun] | None:
    """Two things that can be named."""
    if len(view.things) < 2:
        return None
    a, b = draw.sample(range(len(view.things)), 2)
    first, second = one(draw, view, a), one(draw, view, b)
    return (a, first, b, second) if first and second else None


def _two(view: View, first: Noun, second: Noun) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return mention(view, first), mention(view, second)


def ask_relation(draw: Random, view: View) -> Question | None:
    """Is A to the left of B?"""
    found = _pair(draw, view)
    if not found:
        return None
    a, first, b, second = found
    yes = draw.random() < 0.5
    relations = [r for r in RELATIONS if view.holds(a, r, b) is yes]
    if not relations:
        return None
    words = draw.choice(RELATION_WORDS[draw.choice(relations)])
    prompt = draw.choice(IS_IT).format(a=first.text(), r=words, b=second.text())
    prompt, answer = short(draw, prompt, "Yes" if yes else "No")
    return Question("relation_yes_no", prompt, answer, (a, b), mentions=_two(view, first, second))


def ask_what_is(draw: Random, view: View) -> Question | None:
    """What is above the dog? Asked where one thing alone can be meant."""
    if len(view.things) < 2:
        return None
    anchor = draw.randrange(len(view.things))
    noun = one(draw, view, anchor)
    if noun is None:
        return None
    for relation in draw.sample(tuple(RELATIONS), 4):
        found = [(i, view.holds(i, relation, anchor)) for i in range(len(view.things)) if i != anchor]
        there = [i for i, truth in found if truth is not False]
        if len(there) != 1 or view.holds(there[0], relation, anchor) is None or there[0] == view.word:
            continue
        words = draw.choice(RELATION_WORDS[relation])
        prompt = draw.choice(WHAT_IS).format(words, noun.text())
        prompt, answer = short(draw, prompt, article(view.things[there[0]].kind))
        return Question(
            "relation_what", prompt, answer, (there[0],), mentions=(mention(view, noun),), kind=relation
        )
    return None


def ask_side(draw: Random, view: View) -> Question | None:
    """Is the dog on the left or on the right?"""
    index = draw.randrange(len(view.things))
    noun = one(draw, view, index)
    axis = draw.randrange(2)
    offset = (view.x[index], view.y[index])[axis] - 0.5
    if noun is None or abs(offset) < 0.12 * view.half[axis] + 0.03:
        return None
    pair = list(SIDES[axis])
    answer = pair[offset > 0]
    draw.shuffle(pair)
    prompt, answer = short(draw, draw.choice(SIDE).format(noun.text(), *pair), answer)
    return Question("side", prompt, answer, (index,), mentions=(mention(view, noun),))


def ask_larger(draw: Random, view: View) -> Question | None:
    """Which of two is larger, or whether it is."""
    found = _pair(draw, view)
    if not found:
        return None
    a, first, b, second = found
    if view.word in (a, b) or max(view.area[a], view.area[b]) < LARGER * min(view.area[a], view.area[b]):
        return None
    larger = draw.random() < 0.6
    right = (view.area[a] > view.area[b]) == larger
    word = draw.choice(("larger", "larger", "bigger") if larger else ("smaller",))
    if first.size or second.size:
        return None  # "the small dog" would give it away
    if draw.random() < 0.5:
        prompt = draw.choice(LARGER_FORMS).format(word, first.text(), second.text())
        prompt, answer = short(draw, prompt, f"the {(first if right else second).text()}")
        return Question("larger", prompt, answer, (a if right else b,), mentions=_two(view, first, second))
    prompt = f"Is the {first.text()} {word} than the {second.text()}?"
    prompt, answer = short(draw, prompt, "Yes" if right else "No")
    return Question("larger_yes_no", prompt, answer, (a, b), mentions=_two(view, first, second))


def ask_extreme(draw: Random, view: View) -> Question | None:
    """What is the largest object, the leftmost one?"""
    if len(view.objects) < 2:
        return None
    noun = Noun(None, None, draw.choice(GENERIC))
    if draw.random() < 0.6:
        largest = draw.random() < 0.6
        index = view.extreme(view.objects, largest)
        word = draw.choice(LARGEST) if largest else "smallest"
    else:
        axis, side = draw.randrange(2), draw.randrange(2)
        order = view.ordered(tuple(range(len(view.things))), axis)
        index = order[-side] if order else None
        word = (("leftmost", "rightmost"), ("topmost", "lowest"))[axis][side]
    if index is None or index == view.word:
        return None
    form = draw.choice(EXTREME)
    prompt, answer = short(draw, form.format(word, noun.noun), article(view.things[index].kind))
    return Question("extreme", prompt, answer, (index,), mentions=((noun.noun, tuple(view.objects)),))


def ask_front(draw: Random, view: View) -> Question | None:
    """Which of two is in front of the other, for things that overlap."""
    pairs = [(i, j) for i, t in enumerate(view.things) for j in t.covered_by]
    if not pairs:
        return None
    pairs = [(i, j) for i, j in pairs if view.names(i) and view.names(j)]
    if not pairs:
        return None
    behind, front = draw.choice(pairs)
    pair = [behind, front]
    draw.shuffle(pair)
    first, second = (one(draw, view, i) for i in pair)
    asked_front = draw.random() < 0.6
    words = "in front" if asked_front else "behind"
    mentions = _two(view, first, second)
    if draw.random() < 0.5:
        index = front if asked_front else behind
        said = first if pair[0] == index else second
        prompt = draw.choice(FRONT).format(words, first.text(), second.text())
        prompt, answer = short(draw, prompt, f"the {said.text()}")
        return Question("front", prompt, answer, (index,), mentions=mentions)
    yes = (pair[0] == front) == asked_front
    prompt = f"Is the {first.text()} {'in front of' if asked_front else 'behind'} the {second.text()}?"
    prompt, answer = short(draw, prompt, "Yes" if yes else "No")
    return Question("front_yes_no", prompt, answer, tuple(pair), mentions=mentions)
