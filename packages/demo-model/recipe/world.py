"""The world: scenes of everyday things, coloured shapes and drawn words, their rendering, and the pixels the model sees.

Geometry is kept in the *padded square* of the image: 0..1 on both axes, x to the right, y down, the longer side of the
image being 1. That is the coordinate system of the model's boxes. `render` draws at the native size of the image;
`to_model_pixels` is the runtime's preprocessing (pad to a square, PIL bicubic), so training sees what a user's file gives.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter

from . import backgrounds, sprites
from .backgrounds import BACKGROUNDS
from .icons import HELD_OUT_STYLE, TRAIN_STYLES
from .kinds import COLOUR_NAMES, COLOURS, GROUPS, ICONS, KINDS, SHAPES, WORDS

__all__ = ["BACKGROUNDS", "COLOURS", "COLOUR_NAMES", "GROUPS", "HELD_OUT_STYLE", "KINDS", "SHAPES", "TRAIN_STYLES", "WORDS"]

# Largest extent of the object, as a share of the longer image side; the gaps keep the three names unambiguous.
SIZES: dict[str, tuple[float, float]] = {"small": (0.125, 0.165), "medium": (0.21, 0.27), "large": (0.34, 0.46)}
SIZE_NAMES = tuple(SIZES)
WORD_EXTENT = (0.3, 0.55)
MAX_OBJECTS = 8
LEAST_VISIBLE = 0.6
PAD_COLOUR = (122, 116, 104)  # trunc(mean * 255) of the CLIP mean
IMAGE_SIZE = 192
GAP = 0.015
THINGS = tuple(ICONS)
Rng = np.random.Generator
Box = tuple[float, float, float, float]


@dataclass
class Thing:
    """One object. `box` is (x1, y1, x2, y2) of its whole extent in the padded square, covered parts included."""

    kind: str
    colour: str | None  # where it is drawn in one colour
    size: str
    box: Box
    text: str | None  # of a word, as drawn
    style: str
    covered_by: tuple[int, ...] = ()  # indices of the things in front of it that overlap it visibly
    visible: float = 1.0  # share of its pixels that is seen
    sprite: np.ndarray | None = None  # native pixels, see `sprites`
    left: int = 0  # of the sprite in the padded square, native pixels
    top: int = 0
    layer: int = 0  # drawing order: later ones cover earlier ones
    rgb: tuple[int, int, int] | None = None

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass
class Scene:
    """Objects on a background; width and height are the native size in pixels."""

    width: int
    height: int
    things: list[Thing] = field(default_factory=list)
    background: str = "plain"
    owner: np.ndarray | None = None  # int8 [long, long]: the index of the thing that each native pixel shows, or -1

    @property
    def long_side(self) -> int:
        return max(self.width, self.height)

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top of the image inside the padded square, in native pixels."""
        return (self.long_side - self.width) // 2, (self.long_side - self.height) // 2


def sample_size(rng: Rng, long_low: int, long_high: int) -> tuple[int, int]:
    """A native image size: square, landscape or portrait, aspect ratios up to 2."""
    long = int(rng.integers(long_low, long_high + 1))
    ratio = 1.0 if rng.random() < 0.25 else math.exp(rng.uniform(0, math.log(2.0)))
    short = max(1, round(long / ratio))
    return (long, short) if rng.random() < 0.6 else (short, long)


def _vocabulary(rng: Rng, held_out: bool) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Kinds and colours that a scene draws from. Half of the scenes have few of either, so that things repeat."""
    kinds: tuple[str, ...] = ()
    colours: tuple[str | None, ...] = ()
    if rng.random() < 0.5:
        if rng.random() < 0.7:
            kinds = tuple(_kind(rng, held_out) for _ in range(int(rng.integers(1, 4))))
        elif rng.random() < 0.5:  # of one group: what is easily confused stands side by side
            names = [name for name in GROUPS if name != "shapes" or not held_out]
            kinds = GROUPS[names[int(rng.integers(len(names)))]]
        if rng.random() < 0.4:
            colours = tuple(str(c) for c in rng.choice(COLOUR_NAMES, int(rng.integers(1, 4)), replace=False))
    return kinds, colours


def _kind(rng: Rng, held_out: bool) -> str:
    """Shapes are of no style of drawing: what is held out has none."""
    pool = SHAPES if rng.random() < 0.2 and not held_out else THINGS
    return pool[int(rng.integers(len(pool)))]


def sample_scene(rng: Rng, width: int, height: int, crowded: bool = False, held_out: bool = False) -> Scene:
    """1 to 8 objects, at most one of them a word. In a third of the scenes some cover others, 40 % of those at most.
    `held_out`: drawings of the held-out style and nothing else."""
    scene = Scene(width, height, background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))])
    long = scene.long_side
    scene.owner = np.full((long, long), -1, np.int8)
    kinds, colours = _vocabulary(rng, held_out)
    count = 1 + min(int(rng.integers(0, 9)), int(rng.integers(0, 9)), 7) if not crowded else MAX_OBJECTS
    if not crowded and rng.random() < 0.35:
        count = int(rng.integers(3, MAX_OBJECTS + 1))
    overlap = rng.random() < 0.35
    names = sorted((int(rng.integers(3)) for _ in range(count)), reverse=True)
    if count > 5:  # room for all
        names = [min(n, int(rng.integers(2))) if i > 1 else n for i, n in enumerate(names)]
        names.sort(reverse=True)
    pixels: list[int] = []
    word = rng.random() < 0.22 and not held_out
    for i, size in enumerate(names):
        if word and i == 0:
            sprite = sprites.word(rng, WORDS[int(rng.integers(len(WORDS)))], rng.uniform(*WORD_EXTENT) * long)
            _try_place(rng, scene, sprite, "medium", pixels, False)
            continue
        kind = kinds[int(rng.integers(len(kinds)))] if kinds else _kind(rng, held_out)
        wanted = colours[int(rng.integers(len(colours)))] if colours else None
        while size >= 0:
            extent = rng.uniform(*SIZES[SIZE_NAMES[size]]) * long
            sprite = sprites.thing(rng, kind, wanted, extent, held_out)
            if _try_place(rng, scene, sprite, SIZE_NAMES[size], pixels, overlap):
                break
            size -= 1
    _finish(rng, scene, pixels)
    return scene


def sample_sheet(rng: Rng, width: int, height: int, held_out: bool = False) -> Scene:
    """Objects side by side in cells of one size, up to forty: no scene that anybody asks about, but for the same pixels it
    shows the vision tower several times as many of them. What scenes make hard comes more often: things in a colour not
    their own, things that cover others (a third of the sheets), and proportions that no drawing has."""
    scene = Scene(width, height, background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))])
    long = scene.long_side
    scene.owner = np.full((long, long), -1, np.int8)
    cell = 0.155 * (0.4 / 0.155) ** (rng.random() ** 1.6) * long
    columns, rows = int(width / cell), int(height / cell)
    off_x, off_y = scene.offset
    crowded = rng.random() < 0.35
    low, high = (1.0, 1.6) if crowded else (0.75, 0.98)
    tinted = rng.choice((0.0, 0.3, 0.8))
    pixels: list[int] = []
    for row in range(rows):
        skip = 0
        for column in range(columns):
            if skip or rng.random() < 0.1:
                skip = 0
                continue
            wide = column + 1 < columns and rng.random() < 0.1 and not held_out and not crowded
            if wide:
                skip = 1
                text = WORDS[int(rng.integers(len(WORDS)))]
                sprite = sprites.word(rng, text, min(rng.uniform(1.5, 1.95) * cell, WORD_EXTENT[1] * long))
            else:
                colour = sprites.any_colour(rng) if rng.random() < tinted else None
                extent = rng.uniform(low, high) * cell
                sprite = sprites.thing(rng, _kind(rng, held_out), colour, extent, held_out, stretched=True)
            h, w = sprite.pixels.shape[:2]
            # Where it is larger than its cell, it reaches into the neighbours'.
            left = int(column * width / columns + ((1 + wide) * width / columns - w) * rng.random())
            top = int(row * height / rows + (height / rows - h) * rng.random())
            left, top = off_x + min(max(left, 0), width - w), off_y + min(max(top, 0), height - h)
            _put(scene, sprite, "medium", left, top, pixels)
    _finish(rng, scene, pixels)
    return scene


def _put(scene: Scene, sprite: sprites.Sprite, size: str, left: int, top: int, pixels: list[int]) -> None:
    """Draws the sprite on top of what is there; `left` and `top` are native pixels of the padded square."""
    assert scene.owner is not None
    long = scene.long_side
    h, w = sprite.pixels.shape[:2]
    window = scene.owner[top : top + h, left : left + w]
    mask = sprite.pixels[: window.shape[0], : window.shape[1], 3] > 128
    window[mask] = len(scene.things)
    pixels.append(max(1, int(mask.sum())))
    box = (left / long, top / long, min(1.0, (left + w) / long), min(1.0, (top + h) / long))
    scene.things.append(
        Thing(
            sprite.kind, sprite.colour, size, box, sprite.text, sprite.style,
            sprite=sprite.pixels, left=left, top=top, layer=len(scene.things), rgb=sprite.rgb,
        )  # fmt: skip
    )


def _try_place(
    rng: Rng, scene: Scene, sprite: sprites.Sprite, size: str, pixels: list[int], overlap: bool
) -> bool:
    """Puts the sprite where it fits, on top of what is there; `pixels` counts the native pixels of each thing."""
    long = scene.long_side
    off_x, off_y = scene.offset
    h, w = sprite.pixels.shape[:2]
    room_x, room_y = scene.width - w - 2, scene.height - h - 2
    if room_x < 0 or room_y < 0:
        return False
    assert scene.owner is not None
    mask: np.ndarray | None = None
    spots = np.round(rng.random((24, 2)) * (room_x, room_y)).astype(int) + (off_x + 1, off_y + 1)
    ours = np.concatenate([spots, spots + (w, h)], 1) / long  # [24, 4]
    theirs = np.array([t.box for t in scene.things]).reshape(1, -1, 4)
    # How far they reach into each other, [24, things, 2]; less than nothing where they are apart.
    shared = np.minimum(ours[:, None, 2:], theirs[..., 2:]) - np.maximum(ours[:, None, :2], theirs[..., :2])
    touches = (shared > -GAP).all(-1)
    area = np.minimum(w * h / long**2, np.prod(theirs[..., 2:] - theirs[..., :2], -1))
    # Boxes that share so much that nobody could say which one a box means; words are covered by nobody.
    words = np.array([t.kind == "word" for t in scene.things], bool)
    bad = (np.prod(shared.clip(0), -1) > 0.35 * area) | words if overlap else np.ones_like(touches)
    fits = np.flatnonzero(~(touches & bad).any(1))
    if overlap and rng.random() < 0.6:  # where it lies over others, first
        over = (shared[fits] > 0.02).all(-1).any(1)
        fits = np.concatenate([fits[over], fits[~over]])
    for k in fits:
        left, top = (int(v) for v in spots[k])
        touched = np.flatnonzero(touches[k])
        if mask is None:
            mask = sprite.pixels[..., 3] > 128
        window = scene.owner[top : top + h, left : left + w]
        if len(touched):
            lost = np.bincount(window[mask] + 1, minlength=len(pixels) + 1)[1:]
            seen = [np.count_nonzero(scene.owner == i) - lost[i] for i in touched]
            if any(s < LEAST_VISIBLE * pixels[i] for s, i in zip(seen, touched)):
                continue
        _put(scene, sprite, size, left, top, pixels)
        return True
    return False


def _finish(rng: Rng, scene: Scene, pixels: list[int]) -> None:
    """Shares seen, who covers whom, and an order of the list that says nothing about sizes or layers."""
    assert scene.owner is not None
    things = scene.things
    seen = np.bincount(scene.owner.ravel() + 1, minlength=len(things) + 1)[1:]
    order = rng.permutation(len(things))
    place = np.empty(len(things) + 1, np.int8)
    place[order] = np.arange(len(things))
    place[-1] = -1
    for i, thing in enumerate(things):
        thing.visible = float(seen[i] / pixels[i])
        if thing.visible < 0.99:
            assert thing.sprite is not None
            window = scene.owner[thing.top : thing.top + thing.sprite.shape[0], thing.left : thing.left + thing.sprite.shape[1]]
            mask = thing.sprite[: window.shape[0], : window.shape[1], 3] > 128
            lost = np.bincount(window[mask] + 1, minlength=len(things) + 1)[1:]
            front = [j for j in range(i + 1, len(things)) if lost[j] > 0.04 * pixels[i]]
            thing.covered_by = tuple(int(place[j]) for j in front)
    scene.things = [things[i] for i in order]
    scene.owner = place[scene.owner]


def render(rng: Rng, scene: Scene) -> Image.Image:
    """The scene as an RGB image of its native size."""
    avoid = np.array([t.rgb for t in scene.things if t.rgb is not None], np.float32).reshape(-1, 3)
    canvas = np.array(backgrounds.draw(rng, scene.background, scene.width, scene.height, avoid))
    off_x, off_y = scene.offset
    shadow = rng.random() < 0.2
    depth = max(1, round(scene.long_side * rng.uniform(0.006, 0.02)))
    for thing in sorted(scene.things, key=lambda t: t.layer):
        assert thing.sprite is not None
        left, top = thing.left - off_x, thing.top - off_y
        if shadow:
            dark = np.zeros_like(thing.sprite)
            dark[..., 3] = thing.sprite[..., 3] // 5 * 2
            sprites.compose(canvas, dark, left + depth, top + depth)
        sprites.compose(canvas, thing.sprite, left, top)
    return _worn(rng, Image.fromarray(canvas))


def _worn(rng: Rng, image: Image.Image) -> Image.Image:
    """Blur, noise, JPEG artefacts, other light: each on a few pictures."""
    long = max(image.size)
    if rng.random() < 0.08:
        image = image.filter(ImageFilter.GaussianBlur(long / IMAGE_SIZE * rng.uniform(0.3, 0.8)))
    if rng.random() < 0.15:
        gain, shift = rng.uniform(0.8, 1.15), rng.uniform(-15, 15)
        image = image.point([min(255, max(0, round(i * gain + shift))) for i in range(256)] * 3)
    if rng.random() < 0.08:
        noise = rng.normal(0, rng.uniform(3, 10), (image.height, image.width, 1))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(35, 92)))
        image = Image.open(file).convert("RGB")
    return image


def to_model_pixels(image: Image.Image, side: int = IMAGE_SIZE) -> np.ndarray:
    """What the runtime does to a picture: pad to a square, PIL's antialiased bicubic; uint8 [side, side, 3]."""
    w, h = image.size
    long = max(w, h)
    if w != h:
        square = Image.new("RGB", (long, long), PAD_COLOUR)
        square.paste(image, ((long - w) // 2, (long - h) // 2))
        image = square
    if long != side:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def sample_training_pixels(
    rng: Rng, crowded: bool = False, held_out: bool = False, side: int = IMAGE_SIZE, sheet: bool = False
) -> tuple[Scene, np.ndarray]:
    """A training scene (or sheet) and its pixels [side, side, 3]. One in four takes the true path: another size, resized."""
    low, high = (side * 5 // 6, side * 11 // 5) if rng.random() < 0.25 else (side, side)
    width, height = sample_size(rng, low, high)
    if sheet and rng.random() < 0.7:
        width = height = max(width, height)
    while True:
        scene = (
            sample_sheet(rng, width, height, held_out)
            if sheet
            else sample_scene(rng, width, height, crowded, held_out)
        )
        if scene.things:
            return scene, to_model_pixels(render(rng, scene), side)
