"""Phrases to boxes and back."""

from __future__ import annotations

from random import Random

from .basic import COLOUR, SIZE
from .phrases import Phrase, absent_noun, absent_phrase, phrase
from .question import DESCRIBE, GROUND, Box, Question, article, box_text, short, vary
from .relation import WHAT_IS
from .view import RELATION_WORDS, RELATIONS, Noun, View

WHERE = (
    "Where is the {}?",
    "Where is the {}?",
    "Where is the {} in the image?",
    "Where's the {}?",
    "Find the {}.",
    "Locate the {}.",
    "Please locate the {} in the image.",
    "Please find the {}.",
    "Show me the {}.",
    "Point to the {}.",
    "Can you find the {}?",
    "Can you locate the {} in the image?",
    "Detect the {}.",
    "Give the bounding box of the {}.",
    "Please give the coordinates of the {}.",
    "What are the coordinates of the {}?",
)
LLAVA_SHARE = 0.45
ABSENT_SHARE = 0.2
WHAT_AT = (
    "What is at {}?",
    "What is at {}?",
    "What is in the region {}?",
    "What is in this region: {}?",
    "Which object is at {}?",
    "What object is in the box {}?",
    "Name the object at {}.",
    "Please name what is at {}.",
    "What do you see at {}?",
    "Tell me what is at {}.",
)
DESCRIBE_MORE = (DESCRIBE, DESCRIBE, DESCRIBE, "Describe the object at {}.", "Please describe the region {}.")
COLOUR_AT = ("What colour is the object at {}?", "What color is the object in the region {}?")


def there_is_no(words: str) -> str:
    return f"There is no {words}."


def _prompt(draw: Random, words: str) -> tuple[str, str]:
    """LLaVA's prompt or a question, and which of them it is."""
    if draw.random() < LLAVA_SHARE:
        return GROUND.format(("the " if draw.random() < 0.8 else "") + words), "llava"
    return vary(draw, draw.choice(WHERE).format(words)), "where"


def question_of(draw: Random, view: View, found: Phrase) -> Question:
    """The question for the box of a phrase, or of one that names nothing."""
    prompt, form = _prompt(draw, found.text)
    if found.index is None:
        refers = next((m for _, m in found.mentions if m), ())
        return Question(
            f"absent_{form}",
            prompt,
            there_is_no(found.text),
            refers,
            mentions=found.mentions,
            kind=found.kind,
        )
    box = view.things[found.index].box
    return Question(
        f"ground_{found.kind}", prompt, box_text(box), (found.index,), box, mentions=found.mentions, kind=form
    )


def ask_ground(draw: Random, view: View) -> Question | None:
    found = absent_phrase(draw, view) if draw.random() < ABSENT_SHARE else phrase(draw, view)
    return question_of(draw, view, found) if found else None


def ask_absent(draw: Random, view: View) -> Question | None:
    """The colour, size or neighbour of a thing that is not there."""
    found = absent_noun(draw, view)
    if not found:
        return None
    noun, how = found
    words, form = noun.text(), draw.random()
    if form < 0.4 and not noun.colour:
        prompt = draw.choice(COLOUR).format(words)
    elif form < 0.6 and not noun.size:
        prompt = draw.choice(SIZE).format(words)
    else:
        prompt = draw.choice(WHAT_IS).format(
            draw.choice(RELATION_WORDS[draw.choice(tuple(RELATIONS))]), words
        )
    prompt = vary(draw, prompt)
    return Question("absent_asked", prompt, there_is_no(words), mentions=((words, ()),), kind=how)


def describe(view: View, index: int) -> Noun:
    """All that is true of a thing: its size, its colour if it has one, its kind."""
    t = view.things[index]
    if t.kind == "word":
        return Noun(None, t.colour, f'word "{str(t.text).lower()}"')
    return Noun(t.size, t.colour, t.kind)


def _overlap(a: Box, b: Box) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (areas - w * h)


def region(draw: Random, view: View) -> tuple[int, str] | None:
    """A thing and its box as a user would give it; None where the box might mean another thing as well."""
    index = draw.randrange(len(view.things))
    box = view.things[index].box
    if any(_overlap(box, t.box) > 0.4 for i, t in enumerate(view.things) if i != index):
        return None
    return index, box_text(tuple(v + draw.gauss(0, 0.006) for v in box))


def ask_describe(draw: Random, view: View) -> Question | None:
    found = region(draw, view)
    if not found:
        return None
    index, words = found
    noun = describe(view, index)
    answer = f"the {noun.text()}" if index == view.word else article(noun.text())
    return Question("describe", draw.choice(DESCRIBE_MORE).format(words), answer, (index,))


def ask_naming(draw: Random, view: View) -> Question | None:
    found = region(draw, view)
    if not found or found[0] == view.word:
        return None
    index, words = found
    t = view.things[index]
    if t.colour and draw.random() < 0.12:
        prompt, answer = short(draw, draw.choice(COLOUR_AT).format(words), t.colour)
        return Question("colour", prompt, answer, (index,), kind="region")
    prompt, answer = short(draw, draw.choice(WHAT_AT).format(words), article(t.kind))
    return Question("naming", prompt, answer, (index,))
