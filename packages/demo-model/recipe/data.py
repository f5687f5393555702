"""Batches: pixels and the dense labels of the auxiliary heads, made in a worker process while the model trains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from . import world
from .world import COLOUR_NAMES, SHAPES, SIZE_NAMES, Scene, Thing

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
GRID = 12


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [B, h, w, 3] to float [B, 3, h, w]."""
    x = pixels.float() / 255
    x = (x - x.new_tensor(MEAN)) / x.new_tensor(STD)
    return x.permute(0, 3, 1, 2).contiguous()


def patch_owner(scene: Scene) -> np.ndarray:
    """Which object covers each patch, [144] with -1 for background: at least 30 % of the patch, or the object's best patch."""
    boxes = np.array([t.box for t in scene.things], np.float32) * GRID
    edges = np.arange(GRID, dtype=np.float32)
    cover_x = np.clip(np.minimum(boxes[:, 2:3], edges + 1) - np.maximum(boxes[:, 0:1], edges), 0, 1)
    cover_y = np.clip(np.minimum(boxes[:, 3:4], edges + 1) - np.maximum(boxes[:, 1:2], edges), 0, 1)
    cover = (cover_y[:, :, None] * cover_x[:, None, :]).reshape(len(boxes), -1)
    owner = np.where(cover.max(0) >= 0.3, cover.argmax(0), -1)
    best = cover.argmax(1)
    owner[best] = np.arange(len(boxes))
    return owner


def _rank(things: list[Thing], axis: int) -> list[int]:
    """Each object's place, from the left or the top, among those of its shape."""
    centres = [t.cx if axis == 0 else t.cy for t in things]
    return [
        sum(o.shape == t.shape and centres[j] < centres[i] for j, o in enumerate(things)) for i, t in enumerate(things)
    ]


def scene_labels(scene: Scene) -> dict[str, np.ndarray]:
    """Labels per patch ([144, 10] integers, [144, 4] boxes, [144, 6] extremes) and counts [17]."""
    things = scene.things
    owner = patch_owner(scene)
    rank_x, rank_y = _rank(things, 0), _rank(things, 1)
    per_thing = np.array(
        [
            (
                COLOUR_NAMES.index(t.colour),
                SHAPES.index(t.shape),
                SIZE_NAMES.index(t.size),
                rank_x[i],
                rank_y[i],
                sum(o.shape == t.shape for o in things) - 1,
                sum(o.colour == t.colour for o in things) - 1,
            )
            for i, t in enumerate(things)
        ],
        np.int64,
    )
    boxes = np.array([t.box for t in things], np.float32)
    areas = np.array([t.area for t in things])
    cx, cy = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    extreme = np.zeros((len(things), 6), np.float32)
    for column, index in enumerate(
        (cx.argmin(), cx.argmax(), cy.argmin(), cy.argmax(), areas.argmax(), areas.argmin())
    ):
        extreme[index, column] = 1
    centre = np.zeros(GRID * GRID, np.float32)
    centre[
        (np.minimum(cy / 2 * GRID, GRID - 1)).astype(int) * GRID + (np.minimum(cx / 2 * GRID, GRID - 1)).astype(int)
    ] = 1
    counts = [len(things)]
    counts += [sum(t.colour == c for t in things) for c in COLOUR_NAMES]
    counts += [sum(t.shape == s for t in things) for s in SHAPES]
    return {
        "owner": owner.astype(np.int64),
        "attributes": per_thing[owner],  # background rows are not used
        "boxes": boxes[owner],
        "extreme": extreme[owner],
        "centre": centre,
        "counts": np.array(counts, np.int64),
    }


class SceneBatches(IterableDataset):
    """Endless batches of scenes; `seed` and the worker's number choose the stream."""

    def __init__(self, seed: int, batch: int, crowded: bool = False) -> None:
        self.seed, self.batch, self.crowded = seed, batch, crowded

    def one(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        scene, pixels = world.sample_training_pixels(rng, self.crowded)
        return {"pixels": pixels, **scene_labels(scene)}

    def collate(self, rows: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        return {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            yield self.collate([self.one(rng) for _ in range(self.batch)])


def loader(dataset: SceneBatches, workers: int) -> DataLoader:
    return DataLoader(dataset, batch_size=None, num_workers=workers, prefetch_factor=6 if workers else None)
