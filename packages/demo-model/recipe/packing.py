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
TASK_NAMES = ("ground", "where", "count", "exists", "colour", "shape", "size", "relation", "describe", "caption")
LONG_ANSWER = 6.0


class JointBatches(SceneBatches):
    """Batches of scenes with their packed questions. All arrays are per position, over the whole sequence."""

    def __init__(self, seed: int, batch: int, text: Text, visual: int, questions: int = 10, dialogue_share: float = 0.2) -> None:
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
                share = 1.0 if len(answer) <= LONG_ANSWER else (LONG_ANSWER / len(answer)) ** 0.5
                weight += [0.0] * (p - 1) + [share] * len(answer) + [0.0]
                bits = sum(1 << i for i in q.refers)
                guide += [0] * (p - 1) + [bits] * (len(answer) - 1) + [0, 0]
                task += [IGNORE] * (p - 1) + [task_number(q)] * len(answer) + [IGNORE]
        return {
            "ids": np.array(ids),
            "segment": np.array(segment),
            "position": np.array(position),
            "target": np.array(target),
            "weight": np.array(weight, np.float32),
            "guide": np.array(guide),
            "task": np.array(task),
        }

    def collate(self, rows: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        length = max(len(r["ids"]) for r in rows)
        fill = {"ids": self.text.pad, "segment": IGNORE, "position": 0, "target": IGNORE, "weight": 0, "guide": 0, "task": IGNORE}
        for row in rows:
            for name, value in fill.items():
                row[name] = np.pad(row[name], (0, length - len(row[name])), constant_values=value)
        return super().collate(rows)


def task_number(question: Question) -> int:
    return next(i for i, name in enumerate(TASK_NAMES) if question.task.startswith(name))


def attention_mask(segment: Tensor, start: int) -> Tensor:
    """[B, T] segments to [B, 1, T - start, T]: causal, the picture and one's own segment. Padding sees itself."""
    rows, columns = segment[:, start:, None], segment[:, None, :]
    t = segment.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=segment.device).tril()[start:]
    return (causal & ((columns == 0) | (columns == rows)))[:, None]
