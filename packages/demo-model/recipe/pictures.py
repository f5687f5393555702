"""The everyday pictures of `examples/images`, drawn by hand from the world's parts: `python -m recipe.pictures --out
../../examples/images`.

`garden.jpg` is in a drawing style that training sees, `playroom.jpg` in the one that it never sees.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from . import backgrounds, sprites
from .icons import HELD_OUT_STYLE, drawings

# A kind, left and top of its drawing and its longer side, in shares of the picture's width.
Placed = tuple[str, float, float, float]
PICTURES: dict[str, tuple[str, str, int, tuple[Placed, ...]]] = {
    "garden.jpg": (
        "fluent-emoji-flat",
        "landscape",
        3,
        (
            ("sun", 0.07, 0.06, 0.15),
            ("house", 0.36, 0.14, 0.36),
            ("tree", 0.78, 0.2, 0.22),
            ("dog", 0.17, 0.43, 0.23),
            ("cat", 0.72, 0.55, 0.15),
            ("bicycle", 0.46, 0.54, 0.22),
        ),
    ),
    "playroom.jpg": (
        HELD_OUT_STYLE,
        "room",
        2,
        (
            ("couch", 0.06, 0.24, 0.36),
            ("guitar", 0.48, 0.2, 0.24),
            ("balloon", 0.8, 0.08, 0.15),
            ("soccer ball", 0.78, 0.57, 0.14),
            ("cat", 0.5, 0.52, 0.22),
        ),
    ),
}
WIDTH, HEIGHT = 640, 480


def draw(style: str, background: str, seed: int, things: tuple[Placed, ...]) -> Image.Image:
    rng = np.random.default_rng(seed)
    canvas = np.array(backgrounds.draw(rng, background, WIDTH, HEIGHT, np.zeros((0, 3), np.float32)))
    for kind, left, top, side in things:
        drawing = next(d for d in drawings(style == HELD_OUT_STYLE)[kind] if d.style == style)
        pixels = sprites.upright(drawing, round(side * WIDTH))
        sprites.compose(canvas, pixels, round(left * WIDTH), round(top * WIDTH))
    return Image.fromarray(canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for name, picture in PICTURES.items():
        draw(*picture).save(args.out / name, quality=88)
        print(args.out / name)


if __name__ == "__main__":
    main()
