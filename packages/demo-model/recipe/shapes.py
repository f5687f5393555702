"""The coloured shapes: outlines, and what they cover."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator


@cache
def _circle(points: int = 40) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], 1)


def _cross(a: float) -> list[list[float]]:
    quarter = [[-a, -1], [a, -1], [a, -a]]
    out = []
    for _ in range(4):
        out += quarter
        quarter = [[-y, x] for x, y in quarter]
    return out


def outline(shape: str, rng: Rng) -> tuple[np.ndarray, float]:
    """A shape's outline with its largest extent in -1..1, and the ring's hole."""
    if shape == "circle":
        return _circle(), 0.0
    if shape == "ring":
        return _circle(), rng.uniform(0.48, 0.64)
    if shape == "square":
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float), 0.0
    if shape == "diamond":
        w = rng.uniform(0.62, 0.8)
        return np.array([[0, -1], [w, 0], [0, 1], [-w, 0]], float), 0.0
    if shape == "triangle":
        w = rng.uniform(0.88, 1.0)
        return np.array([[0, -0.92], [w, 0.8], [-w, 0.8]], float), 0.0
    if shape == "cross":
        return np.array(_cross(rng.uniform(0.28, 0.38)), float), 0.0
    if shape == "star":
        inner = rng.uniform(0.4, 0.5)
        t = -np.pi / 2 + np.arange(10) * np.pi / 5
        r = np.where(np.arange(10) % 2 == 0, 1.0, inner)
        return np.stack([r * np.cos(t), r * np.sin(t)], 1), 0.0
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)  # heart
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 16, (y + 2.5) / 16], 1), 0.0


def mask(shape: str, side: int, rng: Rng) -> np.ndarray:
    """Coverage of a shape whose longer side has `side` pixels, uint8 [h, w], drawn at twice the size."""
    points, hole = outline(shape, rng)
    angle = np.radians(rng.uniform(-12, 12))
    points = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    low, high = points.min(0), points.max(0)
    scale = (2 * side - 1) / (high - low).max()
    w, h = (np.maximum(np.round((high - low) * scale / 2), 1) * 2).astype(int)
    image = Image.new("L", (int(w), int(h)), 0)
    pen = ImageDraw.Draw(image)
    pen.polygon(((points - low) * scale).ravel().tolist(), fill=255)
    if hole > 0:
        pen.polygon(((points * hole - low) * scale).ravel().tolist(), fill=0)
    return np.asarray(image.reduce(2))
