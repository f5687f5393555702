"""Procedural backgrounds: plain, gradients, textures, simple rooms and landscapes, and small distractors on them."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

BACKGROUNDS = ("plain", "gradient", "texture", "room", "landscape")
Rng = np.random.Generator


def colour(rng: Rng, avoid: np.ndarray, low: float = 0.12, high: float = 0.97) -> np.ndarray:
    """A muted colour well apart from those of `avoid` [n, 3], 0..255: what has one colour must stand out."""
    best, best_distance = np.zeros(3, np.float32), -1.0
    for _ in range(12):
        rgb = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.5), rng.uniform(low, high)), np.float32) * 255
        distance = float(np.abs(avoid - rgb).sum(1).min()) if len(avoid) else 999.0
        if distance > best_distance:
            best, best_distance = rgb, distance
        if distance > 150:
            break
    return best


def _gradient(rng: Rng, w: int, h: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """From one colour to another at any angle, [h, w, 3]."""
    angle = rng.uniform(0, 2 * np.pi)
    y = np.linspace(-0.5, 0.5, h, dtype=np.float32)[:, None] * np.float32(math.sin(angle))
    x = np.linspace(-0.5, 0.5, w, dtype=np.float32)[None] * np.float32(math.cos(angle))
    t = np.clip(y + x + np.float32(0.5), 0, 1)[..., None]
    return t * (b - a).astype(np.float32) + a.astype(np.float32)


def _texture(rng: Rng, w: int, h: int) -> np.ndarray:
    """A pattern around zero, [h, w, 1]."""
    amplitude = rng.uniform(6, 22)
    kind = rng.integers(4)
    if kind == 0:  # clouds
        cells = int(rng.integers(4, 14))
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
        clouds = noise.resize((w, h), Image.Resampling.BILINEAR)
        return ((np.asarray(clouds, np.float32) / 127.5 - 1) * amplitude)[..., None]
    if kind == 1:  # grain
        return ((rng.random((h, w), np.float32) - 0.5) * (2 * amplitude))[..., None]
    period = max(w, h) * rng.uniform(0.04, 0.16)
    angle = rng.uniform(0, np.pi)
    yy, xx = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None]
    wave = np.sign(np.sin(2 * np.pi * (xx * math.cos(angle) + yy * math.sin(angle)) / period))
    if kind == 3:
        wave = wave * np.sign(np.sin(2 * np.pi * (yy * math.cos(angle) - xx * math.sin(angle)) / period))
    return (wave * (amplitude * 0.6))[..., None]


def _ints(rgb: np.ndarray) -> tuple[int, ...]:
    return tuple(int(c) for c in np.clip(rgb, 0, 255))


def _room(rng: Rng, w: int, h: int, avoid: np.ndarray) -> Image.Image:
    """A wall, a floor, a skirting board; sometimes panels on the wall and boards on the floor."""
    wall, floor = colour(rng, avoid, 0.4), colour(rng, avoid, 0.2, 0.8)
    image = Image.new("RGB", (w, h), _ints(wall))
    pen = ImageDraw.Draw(image)
    line = int(h * rng.uniform(0.55, 0.8))
    if rng.random() < 0.5:  # panels or stripes of wallpaper
        step = max(3, int(w * rng.uniform(0.06, 0.2)))
        shade = _ints(wall * rng.uniform(0.9, 1.06))
        for x in range(int(rng.integers(step)), w, 2 * step):
            pen.rectangle((x, 0, x + step - 1, line), fill=shade)
    pen.rectangle((0, line, w, h), fill=_ints(floor))
    if rng.random() < 0.6:  # boards that run to a vanishing point
        middle = w * rng.uniform(0.3, 0.7)
        for i in range(-6, 7):
            x = middle + i * w * 0.14
            end = middle + i * w * 0.4
            pen.line((x, line, end, h), fill=_ints(floor * 0.88), width=max(1, w // 200))
    pen.rectangle((0, line - max(1, h // 50), w, line), fill=_ints(wall * 0.8))
    return image


def _landscape(rng: Rng, w: int, h: int, avoid: np.ndarray) -> Image.Image:
    """A sky that gets lighter downwards, one to three rows of hills, ground."""
    sky = colour(rng, avoid, 0.5)
    pixels = _gradient(rng, w, h, sky, np.clip(sky * rng.uniform(1.0, 1.2), 0, 255))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    ground = colour(rng, avoid, 0.2, 0.8)
    rows = int(rng.integers(1, 4))
    horizon = rng.uniform(0.45, 0.65)
    for i in range(rows):
        t = (i + 1) / rows
        x = np.linspace(0, 1, 24)
        level = horizon + (0.9 - horizon) * i / rows
        y = level + rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * (x * rng.uniform(0.6, 2.5) + rng.random()))
        points = [(float(a * w), float(b * h)) for a, b in zip(x, y)] + [(w, h), (0, h)]
        pen.polygon(points, fill=_ints(sky * (1 - t) * 0.8 + ground * (0.2 + 0.8 * t)))
    return image


def _distract(rng: Rng, image: Image.Image) -> None:
    """Thin lines, dots and arcs that are nobody's object."""
    pen = ImageDraw.Draw(image)
    w, h = image.size
    for _ in range(int(rng.integers(2, 9))):
        fill = tuple(int(c) for c in rng.integers(0, 256, 3))
        x, y = rng.random() * w, rng.random() * h
        size = max(w, h) * rng.uniform(0.01, 0.035)
        kind = rng.integers(3)
        if kind == 0:
            pen.line((x, y, x + rng.normal() * size * 4, y + rng.normal() * size * 4), fill=fill, width=max(1, w // 150))
        elif kind == 1:
            pen.ellipse((x, y, x + size / 2, y + size / 2), fill=fill)
        else:
            pen.arc((x, y, x + size * 3, y + size * 3), rng.uniform(0, 360), rng.uniform(0, 360), fill=fill)


def draw(rng: Rng, kind: str, w: int, h: int, avoid: np.ndarray) -> Image.Image:
    """A background of the kind, RGB; `avoid` [n, 3] are the colours of what has one colour."""
    if kind == "room":
        image = _room(rng, w, h, avoid)
    elif kind == "landscape":
        image = _landscape(rng, w, h, avoid)
    else:
        base = colour(rng, avoid)
        if kind == "plain":
            pixels = np.broadcast_to(base, (h, w, 3))
        elif kind == "gradient":
            pixels = _gradient(rng, w, h, base, colour(rng, avoid))
        else:
            pixels = base + _texture(rng, w, h)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        _distract(rng, image)
    return image
