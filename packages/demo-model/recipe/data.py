"""Batches: pixels and the dense labels of the auxiliary heads, made in a worker process while the model trains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from . import world
from .kinds import COLOUR_NAMES, KINDS, WORDS
from .model import ModelConfig
from .world import SIZE_NAMES, Scene, Thing

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SAMPLES = 4  # a side: points of a patch at which its owner is asked for
NO_COLOUR = len(COLOUR_NAMES)
POOL = 4096  # pictures kept to be shown again: 130 kB each at 192 px
UNASKED = -100  # cross_entropy's ignore_index


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [B, h, w, 3] to float [B, 3, h, w]."""
    x = pixels.float() / 255
    x = (x - x.new_tensor(MEAN)) / x.new_tensor(STD)
    return x.permute(0, 3, 1, 2).contiguous()


def patch_owner(scene: Scene, grid: int) -> np.ndarray:
    """Which object each patch shows, [grid * grid] with -1 for background: the one that is seen at most of its
    points, from an eighth of them on, or the object's best patch."""
    assert scene.owner is not None
    n = grid * SAMPLES
    at = ((np.arange(n) + 0.5) / n * scene.long_side).astype(int)
    seen = scene.owner[np.ix_(at, at)].reshape(grid, SAMPLES, grid, SAMPLES).swapaxes(1, 2).reshape(grid * grid, -1)
    share = (seen[:, :, None] == np.arange(len(scene.things))).sum(1)  # [P, things]
    owner = np.where(share.max(1) >= SAMPLES**2 // 8, share.argmax(1), -1)
    best = share.argmax(0)
    found = share[best, np.arange(len(scene.things))] > 0
    owner[best[found]] = np.arange(len(scene.things))[found]
    return owner


def _ranks(things: list[Thing], axis: int) -> list[int]:
    """Each object's place, from the left or the top, among those of its kind."""
    at = [t.centre[axis] for t in things]
    return [sum(o.kind == t.kind and at[j] < at[i] for j, o in enumerate(things)) for i, t in enumerate(things)]


def drawn_word(thing: Thing) -> int:
    return WORDS.index(thing.text.lower()) if thing.text is not None else UNASKED


def scene_labels(scene: Scene, grid: int, sheet: bool = False) -> dict[str, np.ndarray]:
    """Labels per patch; of a sheet nobody asks for sizes, places among the others and numbers: `attributes` [P, 8]
    (kind, colour, size, ranks from the left and the top, how many of its kind and of its colour, word), `boxes`
    [P, 4], `extreme` [P, 6], `centre` [P], `weight` [P], `owner` [P]."""
    things = scene.things
    owner = patch_owner(scene, grid)
    left, top = _ranks(things, 0), _ranks(things, 1)
    per_thing = np.array(
        [
            (
                KINDS.index(t.kind),
                COLOUR_NAMES.index(t.colour) if t.colour else NO_COLOUR,
                SIZE_NAMES.index(t.size),
                left[i],
                top[i],
                sum(o.kind == t.kind for o in things) - 1,
                sum(o.colour == t.colour for o in things) - 1,
                drawn_word(t),
            )
            for i, t in enumerate(things)
        ],
        np.int64,
    )
    if sheet:
        per_thing[:, 2:7] = UNASKED
    boxes = np.array([t.box for t in things], np.float32)
    areas = np.array([t.area for t in things])
    cx, cy = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    extreme = np.zeros((len(things), 6), np.float32)
    ends = (cx.argmin(), cx.argmax(), cy.argmin(), cy.argmax(), areas.argmax(), areas.argmin())
    for column, index in enumerate(ends):
        extreme[index, column] = 1
    if sheet:
        extreme[:] = UNASKED
    centre = np.zeros(grid * grid, np.float32)
    rows, columns = (np.minimum(c / 2 * grid, grid - 1).astype(int) for c in (cy, cx))
    centre[rows * grid + columns] = 1
    count = np.bincount(owner[owner >= 0], minlength=len(things))
    return {
        "owner": owner.astype(np.int64),
        "attributes": per_thing[owner],  # background rows are not used
        "boxes": boxes[owner],
        "extreme": extreme[owner],
        "centre": centre,
        # Large things have many patches: an object's weight grows with the root of their number.
        "weight": (np.maximum(count, 1).astype(np.float32) ** -0.5)[owner],
    }


class SceneBatches(IterableDataset):
    """Endless batches of scenes; `seed` and the worker's number choose the stream."""

    def __init__(
        self,
        seed: int,
        batch: int,
        config: ModelConfig,
        crowded: bool = False,
        held_out: bool = False,
        sheets: float = 0.0,
        uses: int = 1,
    ) -> None:
        """`sheets` is the share of pictures that are sheets of many objects; each picture is shown `uses` times, about,
        where making one takes as long as learning from it."""
        self.seed, self.batch, self.crowded, self.held_out, self.sheets = seed, batch, crowded, held_out, sheets
        self.uses = uses
        self.side, self.grid = config.image_size, config.grid

    def draw(self, rng: np.random.Generator) -> tuple[Scene, np.ndarray]:
        """A scene and its pixels [side, side, 3]."""
        return world.sample_training_pixels(rng, self.crowded and rng.random() < 0.7, self.held_out, self.side)

    def one(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if rng.random() < self.sheets:
            sheet, pixels = world.sample_training_pixels(rng, held_out=self.held_out, side=self.side, sheet=True)
            return {"pixels": pixels, **scene_labels(sheet, self.grid, sheet=True)}
        scene, pixels = self.draw(rng)
        return {"pixels": pixels, **scene_labels(scene, self.grid)}

    def collate(self, rows: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        return {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        pool: list[dict[str, np.ndarray]] = []
        while True:
            fresh = [self.one(rng) for _ in range(-(-self.batch // self.uses))]
            # From a small pool the same few would come again and again.
            again = self.batch - len(fresh) if len(pool) > POOL // 8 else 0
            fresh += [self.one(rng) for _ in range(self.batch - len(fresh) - again)]
            yield self.collate([*fresh, *(pool[i] for i in rng.integers(len(pool), size=again))])
            if self.uses > 1:
                free = POOL - len(pool)
                pool += fresh[:free]
                for row in fresh[free:]:
                    pool[int(rng.integers(POOL))] = row


def loader(dataset: SceneBatches, workers: int) -> DataLoader:
    return DataLoader(dataset, batch_size=None, num_workers=workers, prefetch_factor=6 if workers else None)
