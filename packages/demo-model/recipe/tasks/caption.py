"""Captions: short, every thing from left to right; detailed, with sizes, rough places and the background."""

from __future__ import annotations

from random import Random

from .question import NUMBERS, Mention, Question, article, join, plural, sentence, vary
from .view import GROUP_NOUNS, GROUPS_OF, Noun, View

SHORT = (
    "Describe the image briefly.",
    "What is in the image?",
    "What do you see?",
    "What can you see in the image?",
    "Caption the image.",
    "Write a short caption for the image.",
    "Provide a one-sentence caption for the provided image.",
    "Provide a one-sentence caption for the provided image.",
    "Give a brief description of the image.",
    "What does the image show?",
    "Please describe the image in one sentence.",
    "List what is in the image.",
    "Summarize the image.",
    "Describe the image.",
    "Describe the image.",
)
DETAILED = (
    "Describe this image in detail.",
    "Describe this image in detail.",
    "Describe the image in detail.",
    "Please describe the image in detail.",
    "Give a detailed description of the image.",
    "Write a detailed description of the image.",
    "Explain what is where in the image.",
    "Can you describe the image in detail?",
    "What is in the image, and where?",
    "Describe everything that you see in the image.",
)
LIST = (
    "Which {} are in the image?",
    "What {} are in the image?",
    "Which {} do you see?",
    "What {} can you see in the image?",
    "List the {}.",
    "Please list the {} in the image.",
    "Name all {} in the image.",
    "Which {} are there?",
)
BACKGROUNDS = {
    "plain": "The background is plain.",
    "gradient": "The background is a gradient.",
    "texture": "The background has a texture.",
    "room": "The background is a room.",
    "landscape": "The background is a landscape.",
}
PLACES = {
    (-1, -1): "at the top left",
    (0, -1): "at the top",
    (1, -1): "at the top right",
    (-1, 0): "on the left",
    (0, 0): "in the centre",
    (1, 0): "on the right",
    (-1, 1): "at the bottom left",
    (0, 1): "at the bottom",
    (1, 1): "at the bottom right",
}
# A detailed caption of more things than this says no sizes: it would not end.
MANY = 4


def _listed(
    view: View, colours: bool = True, of: tuple[int, ...] | None = None
) -> tuple[list[str], tuple[Mention, ...]]:
    """Every thing, or those given, from left to right as words; of one colour and kind together."""
    order = sorted(range(len(view.things)) if of is None else of, key=lambda i: view.x[i])
    groups: dict[tuple[str | None, str], list[int]] = {}
    for i in order:
        t = view.things[i]
        groups.setdefault((t.colour if colours and t.kind != "word" else None, t.kind), []).append(i)
    parts, says = [], []
    for (colour, kind), members in groups.items():
        if kind == "word":
            words = f'word "{str(view.things[members[0]].text).lower()}"'
            parts.append(f"the {words}")
        else:
            words = " ".join(filter(None, (colour, kind if len(members) == 1 else plural(kind))))
            parts.append(article(words) if len(members) == 1 else f"{NUMBERS[len(members)]} {words}")
        says.append((words, tuple(members)))
    return parts, tuple(says)


def references(view: View) -> list[str]:
    """Short captions that are all right: as trained, without colours, from right to left."""
    parts, plain = _listed(view)[0], _listed(view, colours=False)[0]
    return list(dict.fromkeys(sentence(join(p)) for p in (parts, plain, parts[::-1], plain[::-1])))


def ask_caption(draw: Random, view: View) -> Question:
    parts, says = _listed(view)
    everything = tuple(range(len(view.things)))
    return Question(
        "caption_short", vary(draw, draw.choice(SHORT)), sentence(join(parts)), everything, says=says
    )


def ask_list(draw: Random, view: View) -> Question | None:
    """The things of one group, mostly one that is there."""
    if view.objects and draw.random() < 0.85:
        groups = GROUPS_OF[view.things[draw.choice(view.objects)].kind]
    else:
        groups = tuple(GROUP_NOUNS)
    if not groups:
        return None
    noun = Noun(None, None, draw.choice(groups))
    members, words = view.meaning(noun), noun.plural()
    if members is None:
        return None
    parts, says = _listed(view, of=members)
    prompt, answer = (
        vary(draw, draw.choice(LIST).format(words)),
        join(parts) if parts else f"There are no {words}.",
    )
    return Question("list", prompt, answer, members, mentions=((words, members),), says=says)


def detailed_caption(view: View) -> tuple[str, tuple[Mention, ...]]:
    order = [i for i in sorted(range(len(view.things)), key=lambda i: view.x[i]) if i != view.word]
    parts, says = [], []
    for i in order:
        t = view.things[i]
        words = " ".join(filter(None, (t.size if len(order) <= MANY else None, t.colour, t.kind)))
        parts.append(f"{article(words)} {PLACES[view.cell(i)]}")
        says.append((words, (i,)))
    out = [sentence(join(parts))] if parts else []
    if view.word is not None:
        t = view.things[view.word]
        words = f'word "{str(t.text).lower()}"'
        out.append(f"The {words} is {PLACES[view.cell(view.word)]}.")
        says.append((words, (view.word,)))
    out.append(BACKGROUNDS[view.scene.background])
    return " ".join(out), tuple(says)


def ask_detailed(draw: Random, view: View) -> Question:
    answer, says = detailed_caption(view)
    everything = tuple(range(len(view.things)))
    return Question("caption_detailed", vary(draw, draw.choice(DETAILED)), answer, everything, says=says)
