"""The world: scenes of coloured shapes, their rendering, and the pixels the model sees.

Geometry is kept in the *padded square* of the image: 0..1 on both axes, x to the right, y down, the longer side of the
image being 1. That is the coordinate system of the model's boxes. `Scene.render` draws at the native size of the image;
`to_model_pixels` is the runtime's preprocessing (pad to a square, PIL bicubic), so training sees what a user's file gives.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 38),
    "orange": (244, 135, 25),
    "yellow": (248, 214, 45),
    "green": (46, 158, 66),
    "blue": (42, 92, 212),
    "purple": (138, 56, 172),
    "black": (24, 24, 28),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond")
# Largest extent of the object, as a share of the longer image side; the gaps keep the three names unambiguous.
SIZES: dict[str, tuple[float, float]] = {"small": (0.12, 0.155), "medium": (0.205, 0.255), "large": (0.32, 0.41)}
COLOUR_NAMES = tuple(COLOURS)
SIZE_NAMES = tuple(SIZES)
BACKGROUNDS = ("plain", "gradient", "texture")
MAX_OBJECTS = 5
PAD_COLOUR = (122, 116, 104)  # trunc(mean * 255) of the CLIP mean
IMAGE_SIZE = 144
GAP = 0.015


@dataclass
class Thing:
    """One object. `box` is (x1, y1, x2, y2) in the padded square; names index the tables above."""

    shape: str
    colour: str
    size: str
    cx: float
    cy: float
    outline: np.ndarray  # [points, 2], padded-square units, relative to the centre
    hole: float  # inner radius over outer radius for a ring, else 0
    box: tuple[float, float, float, float]
    rgb: tuple[int, int, int] = (0, 0, 0)

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass
class Scene:
    """Objects on a background; width and height are the native size in pixels."""

    width: int
    height: int
    things: list[Thing] = field(default_factory=list)
    background: str = "plain"

    @property
    def long_side(self) -> int:
        return max(self.width, self.height)

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top of the image inside the padded square, in native pixels."""
        return (self.long_side - self.width) // 2, (self.long_side - self.height) // 2


@cache
def _circle(points: int = 40) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], 1)


def _outline(shape: str, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A shape's outline with its largest extent in -1..1, and the ring's hole."""
    hole = 0.0
    if shape == "circle":
        pts = _circle()
    elif shape == "ring":
        pts, hole = _circle(), rng.uniform(0.48, 0.64)
    elif shape == "square":
        pts = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    elif shape == "diamond":
        w = rng.uniform(0.62, 0.8)
        pts = np.array([[0, -1], [w, 0], [0, 1], [-w, 0]], float)
    elif shape == "triangle":
        w = rng.uniform(0.88, 1.0)
        pts = np.array([[0, -0.92], [w, 0.8], [-w, 0.8]], float)
    elif shape == "cross":
        a = rng.uniform(0.28, 0.38)
        pts = np.array(
            [
                [-a, -1],
                [a, -1],
                [a, -a],
                [1, -a],
                [1, a],
                [a, a],
                [a, 1],
                [-a, 1],
                [-a, a],
                [-1, a],
                [-1, -a],
                [-a, -a],
            ],
            float,
        )
    elif shape == "star":
        inner = rng.uniform(0.4, 0.5)
        t = -np.pi / 2 + np.arange(10) * np.pi / 5
        r = np.where(np.arange(10) % 2 == 0, 1.0, inner)
        pts = np.stack([r * np.cos(t), r * np.sin(t)], 1)
    else:  # heart
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        x = 16 * np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        pts = np.stack([x / 16, (y + 2.5) / 16], 1)
    return pts, hole


def make_thing(
    rng: np.random.Generator,
    shape: str,
    colour: str,
    size: str,
    extent: float | None = None,
    angle: float | None = None,
) -> Thing:
    """An object at the origin; `extent` is its largest side before rotation, `angle` is in degrees."""
    low, high = SIZES[size]
    extent = rng.uniform(low, high) if extent is None else extent
    angle = rng.uniform(-12, 12) if angle is None else angle
    pts, hole = _outline(shape, rng)
    a = math.radians(angle)
    pts = pts @ np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
    pts = pts - (pts.max(0) + pts.min(0)) / 2
    pts = pts * (extent / (pts.max(0) - pts.min(0)).max())
    jitter = rng.integers(-16, 17, 3)
    rgb = tuple(int(min(255, max(0, c + j))) for c, j in zip(COLOURS[colour], jitter))
    return Thing(shape, colour, size, 0.0, 0.0, pts, hole, (0, 0, 0, 0), rgb)


def place(thing: Thing, cx: float, cy: float) -> None:
    x1, y1 = thing.outline.min(0)
    x2, y2 = thing.outline.max(0)
    thing.cx, thing.cy = cx, cy
    thing.box = (float(cx + x1), float(cy + y1), float(cx + x2), float(cy + y2))


def _overlaps(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] + GAP and b[0] < a[2] + GAP and a[1] < b[3] + GAP and b[1] < a[3] + GAP


def sample_size(rng: np.random.Generator, long_low: int, long_high: int) -> tuple[int, int]:
    """A native image size: square, landscape or portrait, aspect ratios up to 2."""
    long = int(rng.integers(long_low, long_high + 1))
    ratio = 1.0 if rng.random() < 0.25 else math.exp(rng.uniform(0, math.log(2.0)))
    short = max(1, round(long / ratio))
    return (long, short) if rng.random() < 0.6 else (short, long)


def sample_scene(rng: np.random.Generator, width: int, height: int, crowded: bool = False) -> Scene:
    """1 to 5 objects without overlap. Half of the scenes draw from few colours and shapes, so that things repeat."""
    scene = Scene(width, height, background=BACKGROUNDS[rng.integers(3)])
    colours: tuple[str, ...] = COLOUR_NAMES
    shapes: tuple[str, ...] = SHAPES
    if rng.random() < 0.6:
        if rng.random() < 0.6:
            colours = tuple(rng.choice(COLOUR_NAMES, int(rng.integers(1, 4)), replace=False))
        if rng.random() < 0.6:
            shapes = tuple(rng.choice(SHAPES, int(rng.integers(1, 4)), replace=False))
    count = int(rng.integers(1, MAX_OBJECTS + 1))
    if crowded and rng.random() < 0.7:
        count = MAX_OBJECTS  # more to learn from each picture
    sizes = sorted((int(rng.integers(3)) for _ in range(count)), reverse=True)
    long = max(width, height)
    half_w, half_h = width / long / 2, height / long / 2
    for size in sizes:
        shape, colour = str(shapes[rng.integers(len(shapes))]), str(colours[rng.integers(len(colours))])
        while size >= 0 and not _try_place(rng, scene, shape, colour, SIZE_NAMES[size], half_w, half_h):
            size -= 1
    rng.shuffle(scene.things)  # drawing order says nothing about size
    return scene


def _try_place(
    rng: np.random.Generator, scene: Scene, shape: str, colour: str, size: str, half_w: float, half_h: float
) -> bool:
    thing = make_thing(rng, shape, colour, size)
    x, y = thing.outline.max(0) + 0.008
    if x >= half_w or y >= half_h:
        return False
    tries = rng.random((24, 2))
    for u, v in tries:
        place(thing, 0.5 + (2 * u - 1) * (half_w - x), 0.5 + (2 * v - 1) * (half_h - y))
        if not any(_overlaps(thing.box, other.box) for other in scene.things):
            scene.things.append(thing)
            return True
    return False


def _background_colour(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """A muted colour well apart from every object's."""
    best, best_distance = np.zeros(3, np.float32), -1.0
    for _ in range(12):
        rgb = (
            np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.45), rng.uniform(0.12, 0.97)), np.float32) * 255
        )
        distance = min((float(np.abs(rgb - np.array(t.rgb)).sum()) for t in scene.things), default=999.0)
        if distance > best_distance:
            best, best_distance = rgb, distance
        if distance > 150:
            break
    return best


def _background(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """The background, float32 [height, width, 3] in 0..255."""
    w, h = scene.width, scene.height
    base = _background_colour(rng, scene)
    if scene.background == "plain":
        return np.broadcast_to(base, (h, w, 3)).copy()
    if scene.background == "gradient":
        other = _background_colour(rng, scene)
        angle = rng.uniform(0, 2 * np.pi)
        y = np.linspace(-0.5, 0.5, h, dtype=np.float32)[:, None] * math.sin(angle)
        x = np.linspace(-0.5, 0.5, w, dtype=np.float32)[None] * math.cos(angle)
        t = np.clip(y + x + 0.5, 0, 1)[..., None]
        return base * (1 - t) + other * t
    amplitude = rng.uniform(6, 22)
    kind = rng.integers(4)
    if kind == 0:  # clouds
        cells = int(rng.integers(4, 14))
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8)).resize(
            (w, h), Image.Resampling.BILINEAR
        )
        pattern = (np.asarray(noise, np.float32) / 127.5 - 1) * amplitude
    elif kind == 1:  # grain
        pattern = (rng.random((h, w), np.float32) - 0.5) * (2 * amplitude)
    else:  # stripes or checks
        period = max(w, h) * rng.uniform(0.04, 0.16)
        angle = rng.uniform(0, np.pi)
        yy, xx = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None]
        u = (xx * math.cos(angle) + yy * math.sin(angle)) / period
        wave = np.sign(np.sin(2 * np.pi * u))
        if kind == 3:
            v = (yy * math.cos(angle) - xx * math.sin(angle)) / period
            wave = wave * np.sign(np.sin(2 * np.pi * v))
        pattern = wave * (amplitude * 0.6)
    return base + pattern[..., None]


def render(rng: np.random.Generator, scene: Scene) -> Image.Image:
    """The scene as an RGB image of its native size. Edges are antialiased to a varying degree."""
    pixels = np.clip(_background(rng, scene), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    long = scene.long_side
    off_x, off_y = scene.offset
    sampling = 1 if rng.random() < 0.08 else (4 if long <= 300 else 2)
    edge = rng.random() < 0.15
    for thing in scene.things:
        left = math.floor(thing.box[0] * long) - 1
        top = math.floor(thing.box[1] * long) - 1
        w = math.ceil(thing.box[2] * long) + 1 - left
        h = math.ceil(thing.box[3] * long) + 1 - top
        mask = Image.new("L", (w * sampling, h * sampling), 0)
        draw = ImageDraw.Draw(mask)
        centre = np.array([thing.cx * long - left, thing.cy * long - top])
        points = (thing.outline * long + centre) * sampling - 0.5
        draw.polygon(points.ravel().tolist(), fill=255)
        if thing.hole > 0:
            inner = (thing.outline * (thing.hole * long) + centre) * sampling - 0.5
            draw.polygon(inner.ravel().tolist(), fill=0)
        mask = mask.reduce(sampling) if sampling > 1 else mask
        at = (left - off_x, top - off_y)
        if edge:
            dark = tuple(c * 6 // 10 for c in thing.rgb)
            image.paste(dark, (at[0], at[1], at[0] + w, at[1] + h), mask)
            inside = mask.filter(ImageFilter.MinFilter(3))
            image.paste(thing.rgb, (at[0], at[1], at[0] + w, at[1] + h), inside)
        else:
            image.paste(thing.rgb, (at[0], at[1], at[0] + w, at[1] + h), mask)
    if rng.random() < 0.08:
        image = image.filter(ImageFilter.GaussianBlur(long / IMAGE_SIZE * rng.uniform(0.3, 0.7)))
    return image


def to_model_pixels(image: Image.Image) -> np.ndarray:
    """What the runtime does to a picture: pad to a square, PIL's antialiased bicubic; uint8 [144, 144, 3]."""
    w, h = image.size
    long = max(w, h)
    if w != h:
        square = Image.new("RGB", (long, long), PAD_COLOUR)
        square.paste(image, ((long - w) // 2, (long - h) // 2))
        image = square
    if long != IMAGE_SIZE:
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image)


def sample_training_pixels(rng: np.random.Generator, crowded: bool = False) -> tuple[Scene, np.ndarray]:
    """A training scene and its pixels. One in four takes the true path: a larger picture, resized."""
    low, high = (160, 420) if rng.random() < 0.25 else (IMAGE_SIZE, IMAGE_SIZE)
    scene = sample_scene(rng, *sample_size(rng, low, high), crowded)
    while not scene.things:
        scene = sample_scene(rng, scene.width, scene.height, crowded)
    return scene, to_model_pixels(render(rng, scene))
