"""What a question is, and the small pieces of English that all of them share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random

from ..kinds import KINDS

Box = tuple[float, float, float, float]
# A noun phrase as it stands in a prompt, and the indices of the things that it means: () if there is none.
Mention = tuple[str, tuple[int, ...]]

# LLaVA's own prompts.
GROUND = "Please provide the bounding box coordinate of the region this sentence describes: {}"
DESCRIBE = "Please provide a short description for this region: {}"
HINT = "\nAnswer the question using a single word or phrase."
HINT_SHARE = 0.15

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
IMAGE_WORDS = ("the picture", "the photo", "this image", "this picture", "this photo")
_PLURALS = {"fish": "fish", "leaf": "leaves", "cactus": "cacti", "tomato": "tomatoes", "snowman": "snowmen"}
_THE_IMAGE = re.compile("the image")


@dataclass(slots=True)
class Question:
    """One question about a scene.

    `refers` are indices into the scene's things: those that decide the answer. `box` is the referent's in the
    padded square, where the answer is a box. `mentions` are the noun phrases of the prompt that name things, in
    order; `says` those of an answer that lists several. `kind` tells questions of one task apart: the kind of a
    negative, of a phrase.
    """

    task: str
    prompt: str
    answer: str
    refers: tuple[int, ...] = ()
    box: Box | None = None
    mentions: tuple[Mention, ...] = ()
    says: tuple[Mention, ...] = ()
    kind: str = ""

    def same(self) -> tuple[object, ...]:
        """Equal for questions that ask the same in other words."""
        return self.task.partition("_")[0], self.answer, tuple(words for words, _ in self.mentions)

    def spans(self) -> list[tuple[int, int, tuple[int, ...]]]:
        """Each mention as (start, end, indices), in characters of the prompt."""
        spans, at = [], 0
        for words, indices in self.mentions:
            found = re.compile(rf"(?<!\w){re.escape(words)}(?!\w)").search(self.prompt, at)
            if found is None:
                raise ValueError(f'"{words}" does not stand in "{self.prompt}"')
            spans.append((found.start(), found.end(), indices))
            at = found.end()
        return spans


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


@cache
def plural(noun: str) -> str:
    if noun.startswith("piece of "):
        return noun.replace("piece", "pieces")
    head, _, last = noun.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}" if head else last


PLURALS = {kind: plural(kind) for kind in KINDS}


def join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def box_text(box: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{min(max(round(v * 100), 0), 100) / 100:.2f}" for v in box) + "]"


def vary(draw: Random, prompt: str, hint: bool = False) -> str:
    """The prompt as somebody might type it: another word for the image, no capital, no end mark; or with the hint."""
    if "the image" in prompt and draw.random() < 0.5:
        prompt = _THE_IMAGE.sub(draw.choice(IMAGE_WORDS), prompt)
    if hint:
        return prompt + HINT
    chance = draw.random()
    if chance < 0.05:
        return prompt[0].lower() + prompt[1:]
    if chance < 0.10:
        return prompt.rstrip("?.")
    return prompt


def short(draw: Random, prompt: str, answer: str) -> tuple[str, str]:
    """A question with a short answer, some with LLaVA's hint: the answer is then the bare words."""
    if draw.random() >= HINT_SHARE:
        return vary(draw, prompt), answer
    return vary(draw, prompt, True), bare(answer)


def bare(answer: str) -> str:
    """An answer without its article."""
    for lead in ("a ", "an ", "the "):
        if answer.startswith(lead):
            return answer[len(lead) :]
    return answer
