"""Sprites: one object's pixels at native size, cropped to what is drawn.

Pixels are uint8 [height, width, 4], the colours multiplied by alpha: resizing, turning, tinting and composing are then
linear, and edges take no colour from what is transparent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from . import icons, shapes
from .kinds import COLOUR_NAMES, COLOURS, ICONS, SHAPES

Rng = np.random.Generator
RGB = tuple[int, int, int]
# Debian: fonts-dejavu, fonts-liberation, fonts-freefont-ttf, fonts-lato, fonts-open-sans, fonts-comfortaa.
FONTS = (
    "dejavu/DejaVuSans.ttf",
    "dejavu/DejaVuSans-Bold.ttf",
    "dejavu/DejaVuSerif.ttf",
    "dejavu/DejaVuSerif-Bold.ttf",
    "dejavu/DejaVuSansMono-Bold.ttf",
    "liberation/LiberationSans-Regular.ttf",
    "liberation/LiberationSans-Bold.ttf",
    "liberation/LiberationSerif-Bold.ttf",
    "liberation/LiberationSansNarrow-Bold.ttf",
    "freefont/FreeSerifBold.ttf",
    "freefont/FreeSansBold.ttf",
    "lato/Lato-Bold.ttf",
    "lato/Lato-Black.ttf",
    "open-sans/OpenSans-Bold.ttf",
    "open-sans/OpenSans-ExtraBold.ttf",
    "comfortaa/Comfortaa-Bold.ttf",
)
# Everyday things mostly have their own colours: the sets of one colour are drawn again this often, and so many of the other
# things are tinted where nothing asks for a colour.
MONOTONE_AGAIN = 0.6
TINTED = 0.15


@dataclass
class Sprite:
    pixels: np.ndarray
    kind: str
    colour: str | None
    style: str
    text: str | None = None
    rgb: RGB | None = None


def shade(rng: Rng, name: str) -> RGB:
    """A colour of that name."""
    r, g, b = (int(min(255, max(0, c + j))) for c, j in zip(COLOURS[name], rng.integers(-16, 17, 3)))
    return r, g, b


def any_colour(rng: Rng) -> str:
    return COLOUR_NAMES[int(rng.integers(len(COLOUR_NAMES)))]


def thing(
    rng: Rng, kind: str, colour: str | None, extent: float, held_out: bool, stretched: bool = False
) -> Sprite:
    """A sprite whose longer side has `extent` pixels; of that colour, mostly, where one is given. `stretched`: half of
    them in other proportions than they were drawn in, as another hand might draw them."""
    side = max(6, round(extent))
    if kind in SHAPES:
        name = colour or any_colour(rng)
        rgb = shade(rng, name)
        pixels = _filled(shapes.mask(kind, side, rng), rgb)
        return Sprite(_outlined(rng, pixels, 0.15, rgb, side), kind, name, "shape", rgb=rgb)
    options = icons.drawings(held_out)[kind]
    drawing = options[int(rng.integers(len(options)))]
    if drawing.style in icons.MONOTONE and rng.random() < MONOTONE_AGAIN:
        drawing = options[int(rng.integers(len(options)))]
    monotone = drawing.style in icons.MONOTONE
    pixels = _turned(rng, drawing, ICONS[kind].any_angle, side, stretched)
    if colour is None and (monotone or rng.random() < TINTED):
        colour = any_colour(rng)
    elif colour is not None and not monotone and rng.random() < 0.2:
        colour = None  # its own colours among tinted ones
    rgb = None
    if colour is not None:
        rgb = shade(rng, colour)
        pixels = _filled(pixels[..., 3], rgb) if monotone else _tinted(pixels, rgb)
    elif rng.random() < 0.4:
        pixels = _varied(rng, pixels)
    return Sprite(_outlined(rng, pixels, 0.1, rgb, side), kind, colour, drawing.style, rgb=rgb)


@cache
def _font(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path("/usr/share/fonts/truetype") / path), 40)


def word(rng: Rng, text: str, extent: float) -> Sprite:
    """A word in a common font, `extent` pixels wide at most, sometimes on a plate."""
    case = rng.integers(3)
    drawn = text if case == 0 else text.upper() if case == 1 else text.capitalize()
    name = any_colour(rng)
    rgb = shade(rng, name)
    font = _font(FONTS[int(rng.integers(len(FONTS)))])
    x1, y1, x2, y2 = font.getbbox(drawn)
    margin = 7
    ink = Image.new("L", (int(x2 - x1) + 2 * margin, int(y2 - y1) + 2 * margin), 0)
    ImageDraw.Draw(ink).text((margin - x1, margin - y1), drawn, fill=255, font=font)
    pixels = _filled(np.asarray(ink), rgb)
    if rng.random() < 0.4:  # on a plate
        plate = (250, 250, 250) if sum(rgb) < 380 else (30, 30, 36)
        pixels = _over(pixels, _filled(np.full(pixels.shape[:2], 255, np.uint8), plate))
    image = _image(pixels).rotate(rng.uniform(-7, 7), Image.Resampling.BILINEAR, expand=True)
    image = image.crop(_bounds(np.asarray(image)))
    # Letters of one height, whatever the word's length, as far as the width allows.
    scale = min(extent / image.width, extent * 0.33 / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return Sprite(np.asarray(image.resize(size, Image.Resampling.BICUBIC)), "word", name, "word", drawn, rgb)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.frombytes("RGBa", (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())


def _bounds(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is drawn."""
    drawn = pixels[..., 3] > icons.EDGE
    x, y = drawn.any(0).nonzero()[0], drawn.any(1).nonzero()[0]
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def _sized(image: Image.Image, side: int) -> Image.Image:
    """With a longer side of `side` pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def _turned(rng: Rng, drawing: icons.Drawing, any_angle: bool, side: int, stretched: bool) -> np.ndarray:
    """A drawing whose longer side has `side` pixels; mirrored in half of the cases, and turned: little, or by any angle
    where the kind allows that. All in one step, as the drawing's outermost points tell where its edges will be."""
    chance = rng.random()
    if any_angle and chance < 0.35:
        angle = rng.uniform(-math.pi, math.pi)
    elif chance < 0.75:
        angle = rng.uniform(-0.32, 0.32)
    else:
        angle = 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[flip * cos, -sin], [flip * sin, cos]])
    inverse = turn.T
    if stretched and rng.random() < 0.5:
        wide = math.exp(rng.uniform(-0.22, 0.22))
        turn = turn @ np.array([[wide, rng.uniform(-0.2, 0.2)], [0, 1 / wide]])
        inverse = np.linalg.inv(turn)
    points = icons.hull(drawing) @ turn.T
    low, high = points.min(0), points.max(0)
    scale = side / float((high - low).max())
    w, h = (max(1, int(round(v))) for v in (high - low) * scale)
    image = icons.picture(drawing, scale)
    # From a pixel of the sprite back to one of the picture.
    level = image.width / icons.picture(drawing, 1).width
    back = inverse * (level / scale)
    middle = (low + high) / 2 * scale - np.array([w, h]) / 2
    start = back @ middle + np.array([image.width, image.height]) / 2
    matrix = (back[0, 0], back[0, 1], start[0], back[1, 0], back[1, 1], start[1])
    return np.asarray(image.transform((w, h), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def upright(drawing: icons.Drawing, side: int) -> np.ndarray:
    """A drawing as it is, its longer side of `side` pixels."""
    return np.asarray(_sized(icons.picture(drawing, side / icons.SIDE), side))


def _filled(alpha: np.ndarray, rgb: RGB) -> np.ndarray:
    colours = np.array([*rgb, 255], np.uint16)
    return ((alpha[..., None] * colours + 127) // 255).astype(np.uint8)


def _tinted(pixels: np.ndarray, rgb: RGB) -> np.ndarray:
    """All of it in shades of one colour: its own light and dark remain."""
    p = pixels.astype(np.float32)
    light, alpha = p[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32), p[..., 3]
    # What is black has few shades to show its drawing by, and white ones must not look grey.
    dark = max(rgb) < 60
    low, high = (0.7, 1.8) if dark else (0.72, 1.05) if min(rgb) > 200 else (0.5, 1.12)
    base = np.array([c + 20 if dark else c for c in rgb], np.float32) / 255
    out = (low * alpha + (high - low) * light)[..., None] * base
    return np.concatenate([np.minimum(out, alpha[..., None]), alpha[..., None]], -1).astype(np.uint8)


def _varied(rng: Rng, pixels: np.ndarray) -> np.ndarray:
    """Other hue, saturation and light: colours alone do not tell what a thing is."""
    turn = rng.uniform(-0.45, 0.45) if rng.random() < 0.7 else rng.uniform(-math.pi, math.pi)
    gain, light = rng.uniform(0.3, 1.3), rng.uniform(0.75, 1.15)
    # A turn about the grey axis (Rodrigues), then away from or towards grey.
    cos, sin = math.cos(turn), math.sin(turn) / math.sqrt(3)
    third = (1 - cos) / 3
    a, b, c = cos + third, third - sin, third + sin
    hue = np.array([[a, b, c], [c, a, b], [b, c, a]])
    matrix = (light * (gain * hue + (1 - gain) / 3)).astype(np.float32)
    p = pixels.astype(np.float32)
    out = np.clip(p[..., :3] @ matrix.T, 0, p[..., 3:])
    return np.concatenate([out, p[..., 3:]], -1).astype(np.uint8)


def _over(front: np.ndarray, back: np.ndarray) -> np.ndarray:
    rest = 255 - front[..., 3:].astype(np.uint16)
    return (front + (back * rest + 127) // 255).clip(0, 255).astype(np.uint8)


def _outlined(rng: Rng, pixels: np.ndarray, share: float, rgb: RGB | None, side: int) -> np.ndarray:
    """With a thin dark or white line around it, in a share of the cases; its longer side stays as it is."""
    if rng.random() >= share or min(pixels.shape[:2]) < 10:
        return pixels
    width = max(1, round(side / 40))
    wide = np.pad(pixels, ((width, width), (width, width), (0, 0)))
    grown = np.asarray(Image.fromarray(wide[..., 3]).filter(ImageFilter.MaxFilter(2 * width + 1)))
    dark = (rgb is None or sum(rgb) > 150) and (rng.random() < 0.6 or (rgb is not None and sum(rgb) > 690))
    out = _over(wide, _filled(grown, (20, 20, 24) if dark else (250, 250, 250)))
    return np.asarray(_sized(_image(out), side))


def compose(canvas: np.ndarray, pixels: np.ndarray, left: int, top: int) -> None:
    """Draws a sprite on uint8 [h, w, 3], in place; what lies outside is cut off."""
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + pixels.shape[1], canvas.shape[1]), min(top + pixels.shape[0], canvas.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    front, window = pixels[y1 - top : y2 - top, x1 - left : x2 - left], canvas[y1:y2, x1:x2]
    rest = 255 - front[..., 3:].astype(np.uint16)
    window[:] = np.minimum(front[..., :3] + (window * rest + 127) // 255, 255)
