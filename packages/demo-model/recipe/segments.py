"""Questions and answers of one picture in rows, so that the picture is computed once (see decoder.py).

A segment is a question with its answer, or a dialogue of several turns. Several share a row of ROW positions; none sees
another, and the positions of each begin behind the picture. What is asked of single positions is kept as flat lists:
`answer_*` for every position that predicts a token of an answer, `mention_*` for the last token of every noun phrase
of a question. Things are numbers of a scene's things, sets of them are bits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import torch
from torch import Tensor

from . import tasks
from .data import SceneBatches, patch_owner
from .model import ModelConfig
from .tasks import Question
from .tasks.question import plural
from .tasks.view import NOUNS
from .text import Text
from .world import COLOUR_NAMES, KINDS, MAX_OBJECTS, SIZE_NAMES, Scene

ROW = 96
NOWHERE = -1  # in place of bits: the answer says nothing of where to look
NO_NAME = -1
TASK_NUMBERS = {name: i for i, name in enumerate(tasks.TASK_NAMES)}
DIALOGUE_TURNS = 3  # of a dialogue, about
NOUN_NUMBERS = {form: i for i, noun in enumerate(NOUNS) for form in (noun, plural(noun))}
# Which kinds each noun names, [nouns, kinds].
NOUN_KINDS = np.array([[kind in kinds for kind in KINDS] for kinds in NOUNS.values()])


@dataclass
class Segment:
    """Tokens of one dialogue, and what is asked of their positions (numbers within the segment)."""

    ids: list[int] = field(default_factory=list)
    # position, token, weight, task, bits, question, position of the turn's first and last mention (or -1)
    answers: list[tuple[int, int, float, int, int, int, int, int]] = field(default_factory=list)
    # position, bits, noun, colour, size, whether it is counted
    mentions: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    # position, first thing, second thing: where an answer is about two things
    pairs: list[tuple[int, int, int]] = field(default_factory=list)


ANSWER_FIELDS = ("at", "token", "weight", "task", "bits", "question", "first", "last")
MENTION_FIELDS = ("at", "bits", "noun", "colour", "size", "counted")
PAIR_FIELDS = ("at", "a", "b")
# Those that count positions of the rows; they move on when scenes are joined to a batch.
POSITIONS = ("answer_at", "answer_first", "answer_last", "mention_at", "pair_at")


def bits_of(things: tuple[int, ...]) -> int:
    return sum(1 << i for i in things)


def names_of(words: str) -> tuple[int, int, int]:
    """The noun (a row of NOUN_KINDS), colour and size that a noun phrase names; NO_NAME for what it doesn't."""
    parts = words.split(" ")
    size = colour = NO_NAME
    if parts[0] in SIZE_NAMES:
        size = SIZE_NAMES.index(parts.pop(0))
    if len(parts) > 1 and parts[0] in COLOUR_NAMES:
        colour = COLOUR_NAMES.index(parts.pop(0))
    return NOUN_NUMBERS.get(" ".join(parts), NO_NAME), colour, size


class Segments:
    """Makes segments of questions."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.coordinates = set(text.coordinates)

    def make(self, turns: list[Question], number: int) -> Segment:
        """One segment; `number` is that of its first question among the scene's."""
        out = Segment()
        for turn, q in enumerate(turns):
            self._turn(out, q, turn == 0, number + turn)
            if len(out.ids) >= ROW:
                break
        return out

    def _turn(self, out: Segment, q: Question, first: bool, number: int) -> None:
        start = len(out.ids)
        template = self.text.prompt_text("{}", first)
        prompt, places = self.find(
            self.text.prompt_text(q.prompt, first), template.index("{}"), [s[1] for s in q.spans()]
        )
        answer = self.text.answer(q.answer)
        bits = self.bits(q, answer)
        weights = self.weights(q, answer)
        out.ids += prompt + answer
        places = [start + place for place in places]
        counted = int(q.task.startswith("count"))
        for place, (words, things) in zip(places, q.mentions):
            if place < ROW:
                out.mentions.append((place, bits_of(things), *names_of(words), counted))
        around = (places[0], places[-1]) if places else (-1, -1)
        at = start + len(prompt) - 1
        # Position i predicts token i + 1; the end token's own prediction is not trained.
        for i in range(min(len(answer), ROW - 1 - at)):
            out.answers.append((at + i, answer[i], weights[i], TASK_NUMBERS[q.task], bits[i], number, *around))
        if len(q.mentions) > 1 and at < ROW - 1:
            a, b = q.mentions[0][1], q.mentions[-1][1]
            if len(a) == 1 and len(b) == 1 and a != b:
                out.pairs.append((at, a[0], b[0]))

    def bits(self, q: Question, answer: list[int]) -> list[int]:
        """What each token of an answer is about: the things referred to, nothing (0) where they are not there."""
        if q.says:
            # What follows a phrase ("at the top left") is about its things too, up to the next phrase.
            at, starts = 0, []
            for words, _ in q.says:
                at = q.answer.index(words, at)
                starts.append(at + 1)
                at += len(words)
            tokens = self.find(" " + q.answer, 1, starts)[1]
            out: list[int] = []
            for (_, things), end in zip(q.says, [*tokens[1:], len(answer) - 1]):
                out += [bits_of(things)] * (end - len(out))
            return [*out, NOWHERE]
        words = len(answer) - 1
        if q.refers and not q.task.startswith("absent"):
            return [bits_of(q.refers)] * words + [NOWHERE]
        absent = any(not things for _, things in q.mentions)
        return [0 if absent else NOWHERE] * words + [NOWHERE]

    def find(self, text: str, shift: int, ends: list[int]) -> tuple[list[int], list[int]]:
        """The tokens of a text, and which token holds the last character before each of `ends` (counted from
        `shift`)."""
        encoding = self.text.tokenizer.encode(text, add_special_tokens=False)
        starts = [a for a, _ in encoding.offsets]
        return encoding.ids, [bisect_left(starts, end + shift) - 1 for end in ends]

    def weights(self, q: Question, answer: list[int]) -> list[float]:
        """What each token of an answer weighs: those that carry a decision much, commas and ends little."""
        words = len(answer) - 1
        if q.box:
            return [2.0] + [1.0 if i in self.coordinates else 0.1 for i in answer[1:]]
        if q.says:
            return [0.6] * words + [0.3]
        if q.answer.startswith("There is no"):
            return [3.0] + [0.2] * words
        return [3.0 if words == 1 else 1.5] * words + [0.1]


def fill_rows(segments: list[Segment]) -> list[list[Segment]]:
    """Segments in rows of ROW positions, the longest first, each into the first row that has room."""
    rows: list[tuple[list[Segment], int]] = []
    for segment in sorted(segments, key=lambda s: -len(s.ids)):
        length = min(len(segment.ids), ROW)
        for i, (row, used) in enumerate(rows):
            if used + length <= ROW:
                row.append(segment)
                rows[i] = (row, used + length)
                break
        else:
            rows.append(([segment], length))
    return [row for row, _ in rows]


def arrays(segments: list[Segment], pad: int) -> dict[str, np.ndarray]:
    """A scene's segments as arrays: per row `ids`, `segment` (-1: padding), `position`; flat lists of what is asked."""
    rows = fill_rows(segments)
    ids = np.full((len(rows), ROW), pad)
    segment = np.full((len(rows), ROW), -1)
    position = np.zeros((len(rows), ROW), np.int64)
    answers: list[tuple[float, ...]] = []
    mentions: list[tuple[int, ...]] = []
    pairs: list[tuple[int, ...]] = []
    for r, row in enumerate(rows):
        at = 0
        for number, s in enumerate(row):
            n = min(len(s.ids), ROW - at)
            ids[r, at : at + n] = s.ids[:n]
            segment[r, at : at + n] = number
            position[r, at : at + n] = np.arange(n)
            by = r * ROW + at
            answers += [
                (by + a[0], *a[1:6], a[6] + by if a[6] >= 0 else -1, a[7] + by if a[7] >= 0 else -1) for a in s.answers
            ]
            mentions += [(by + m[0], *m[1:]) for m in s.mentions]
            pairs += [(by + p[0], *p[1:]) for p in s.pairs]
            at += n
    out = {"ids": ids, "segment": segment, "position": position}
    lists = (("answer", ANSWER_FIELDS, answers), ("mention", MENTION_FIELDS, mentions), ("pair", PAIR_FIELDS, pairs))
    for kind, fields, entries in lists:
        table = np.array(entries, np.float64).reshape(-1, len(fields))
        for i, name in enumerate(fields):
            out[f"{kind}_{name}"] = table[:, i].astype(np.float32 if name == "weight" else np.int64)
    return out


def scene_arrays(scene: Scene, grid: int) -> dict[str, np.ndarray]:
    """Where the scene's things are: `owner` [P] of each patch (-1: none), and of each of MAX_OBJECTS things (rows
    behind the last are empty) `boxes` [., 4], `names` [., 3] (kind, colour, size; -1: none), `centre`, the patch
    of its centre."""
    count = len(scene.things)
    boxes = np.zeros((MAX_OBJECTS, 4), np.float32)
    names = np.full((MAX_OBJECTS, 3), NO_NAME)
    centre = np.full(MAX_OBJECTS, -1)
    for i, t in enumerate(scene.things):
        colour = COLOUR_NAMES.index(t.colour) if t.colour else NO_NAME
        boxes[i], names[i] = t.box, (KINDS.index(t.kind), colour, SIZE_NAMES.index(t.size))
    middle = np.clip((boxes[:count, :2] + boxes[:count, 2:]) / 2 * grid, 0, grid - 1).astype(int)
    centre[:count] = middle[:, 1] * grid + middle[:, 0]
    return {"owner": patch_owner(scene, grid).astype(np.int64), "boxes": boxes, "names": names, "centre": centre}


Ask = Callable[[Random, Scene, int], list[list[Question]]]


def mixture(dialogue_share: float, many: float = 0.0) -> Ask:
    """Questions of a scene as training has them: single ones, a share `many` of them counts of three and more, and about
    `dialogue_share` of all in dialogues."""

    def ask(rng: Random, scene: Scene, count: int) -> list[list[Question]]:
        share = count * dialogue_share / DIALOGUE_TURNS
        dialogues = [tasks.dialogue(rng, scene) for _ in range(int(share + rng.random()))]
        left = count - sum(map(len, dialogues))
        return [d for d in dialogues if d] + [[q] for q in tasks.ask_all(rng, scene, max(left, 1), many)]

    return ask


class QuestionBatches(SceneBatches):
    """Batches of scenes with their questions in rows; `scene` [N] is the picture of each row."""

    def __init__(
        self, seed: int, batch: int, config: ModelConfig, text: Text, questions: int, ask: Ask, held_out: bool = False
    ) -> None:
        super().__init__(seed, batch, config, held_out=held_out)
        self.text, self.questions, self.ask = text, questions, ask
        self.segments = Segments(text)

    def one(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        scene, pixels = self.draw(rng)
        return {"pixels": pixels, **scene_arrays(scene, self.grid), **self.rows(rng, scene)}

    def rows(self, rng: np.random.Generator, scene: Scene) -> dict[str, np.ndarray]:
        number = 0
        made = []
        # Python's own generator: a numpy one takes ten times as long for single numbers.
        for turns in self.ask(Random(int(rng.integers(1 << 62))), scene, self.questions):
            made.append(self.segments.make(turns, number))
            number += len(turns)
        return {**arrays(made, self.text.pad), "questions": np.array(number)}

    def collate(self, rows: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        return join(rows)


def join(scenes: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Scenes to a batch: pictures are stacked, rows and flat lists joined, positions and questions counted through."""
    out: dict[str, list[np.ndarray]] = {}
    row = question = 0
    for number, scene in enumerate(scenes):
        n = len(scene["ids"])
        for name, value in scene.items():
            by = row * ROW if name in POSITIONS else question if name == "answer_question" else 0
            out.setdefault(name, []).append(np.where(value >= 0, value + by, value) if by else value)
        out.setdefault("scene", []).append(np.full(n, number))
        row += n
        question += int(scene["questions"])
    stacked = ("pixels", "owner", "boxes", "names", "centre", "questions")
    return {
        name: torch.from_numpy(np.stack(values) if name in stacked else np.concatenate(values))
        for name, values in out.items()
    }
