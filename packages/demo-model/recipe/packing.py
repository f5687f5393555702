"""Questions and answers of one picture packed into one sequence, so that the picture is computed once.

Layout: head (BOS, `USER: `), N + P visual positions, then segments. A segment sees the picture and itself, and its
positions restart after the picture: each is exactly a single-turn dialogue. Some segments are dialogues of several turns.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import tasks, world
from .data import SceneBatches, scene_labels
from .tasks import Question
from .text import Text
from .world import Scene

IGNORE = -1
ABSENT = 1 << 5  # beside the bits of the five things
TASK_NAMES = ("ground", "where", "count", "exists", "colour", "shape", "size", "relation", "describe", "caption")


class JointBatches(SceneBatches):
    """Batches of scenes with their packed questions. All arrays are per position, over the whole sequence."""

    def __init__(
        self, seed: int, batch: int, text: Text, visual: int, questions: int = 10, dialogue_share: float = 0.2
    ) -> None:
        super().__init__(seed, batch)
        self.text, self.visual, self.questions, self.dialogue_share = text, visual, questions, dialogue_share

    def one(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        scene, pixels = world.sample_training_pixels(rng)
        return {"pixels": pixels, **scene_labels(scene), **self.pack(rng, scene)}

    def pack(self, rng: np.random.Generator, scene: Scene) -> dict[str, np.ndarray]:
        text = self.text
        prefix = len(text.head) + self.visual
        ids = text.head + [text.pad] * self.visual
        segment, position = [0] * prefix, list(range(prefix))
        target, weight, guide, task = ([IGNORE] * prefix, [0.0] * prefix, [0] * prefix, [IGNORE] * prefix)
        nothing = [IGNORE] * 3
        said = [nothing] * prefix
        questions = tasks.ask_all(rng, scene, self.questions)
        number = 0
        while questions:
            turns = int(rng.integers(2, 4)) if rng.random() < self.dialogue_share else 1
            taken, questions = questions[:turns], questions[turns:]
            number += 1
            at = prefix
            for turn, q in enumerate(taken):
                prompt, answer = text.prompt(q.prompt, turn == 0), text.answer(q.answer)
                row = prompt + answer
                n, p = len(row), len(prompt)
                ids += row
                segment += [number] * n
                position += range(at, at + n)
                at += n
                # Position i predicts token i + 1; the end token's own prediction is not trained.
                target += [IGNORE] * (p - 1) + answer + [IGNORE]
                weight += [0.0] * (p - 1) + self.weights(q, answer) + [0.0]
                bits = sum(1 << i for i in q.refers) or (ABSENT if asks_absent(q) else 0)
                guide += [0] * (p - 1) + [bits] * (len(answer) - 1) + [0, 0]
                said += [nothing] * (p - 1) + [self.said(prompt)] + [nothing] * len(answer)
                task += [IGNORE] * (p - 1) + [task_number(q)] * len(answer) + [IGNORE]
        return {
            "ids": np.array(ids),
            "segment": np.array(segment),
            "position": np.array(position),
            "target": np.array(target),
            "weight": np.array(weight, np.float32),
            "guide": np.array(guide),
            "task": np.array(task),
            "said": np.array(said),
        }

    def said(self, prompt: list[int]) -> list[int]:
        """The colour, shape and size that a question names (indices); none where it names several, or none, of a kind."""
        out = []
        for kind in self.text.named:
            found = {kind[i] for i in prompt if i in kind}
            out.append(found.pop() if len(found) == 1 else IGNORE)
        return out

    def weights(self, question: Question, answer: list[int]) -> list[float]:
        """What each token of an answer weighs: those that carry a decision much, commas and ends little."""
        if question.box:
            coordinates = set(self.text.coordinates)
            return [1.0] + [1.0 if i in coordinates else 0.1 for i in answer[1:]]
        if question.task == "caption":
            return [0.6] * len(answer)
        if question.task == "where_absent":
            return [3.0] + [0.2] * (len(answer) - 1)
        words = len(answer) - 1
        return [3.0 if words == 1 else 1.5] * words + [0.1]

    def collate(self, rows: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        length = max(len(r["ids"]) for r in rows)
        fill = {
            "ids": self.text.pad,
            "segment": IGNORE,
            "position": 0,
            "target": IGNORE,
            "weight": 0,
            "guide": 0,
            "task": IGNORE,
            "said": IGNORE,
        }
        for row in rows:
            for name, value in fill.items():
                row[name] = np.pad(
                    row[name], [(0, length - len(row[name]))] + [(0, 0)] * (row[name].ndim - 1), constant_values=value
                )
        return super().collate(rows)


def asks_absent(question: Question) -> bool:
    """Whether the question is about something that is not there."""
    return question.task == "where_absent" or (question.task in ("exists", "count") and not question.refers)


def task_number(question: Question) -> int:
    return next(i for i, name in enumerate(TASK_NAMES) if question.task.startswith(name))


def attention_mask(segment: Tensor, start: int) -> Tensor:
    """[B, T] segments to [B, 1, T - start, T]: causal, the picture and one's own segment. Padding sees itself."""
    rows, columns = segment[:, start:, None], segment[:, None, :]
    t = segment.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=segment.device).tril()[start:]
    return (causal & ((columns == 0) | (columns == rows)))[:, None]
