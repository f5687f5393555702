"""Draw `examples/images`, and the small committed test set: `python -m recipe.examples --images DIR --testset DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import world
from .evaluate import EVALUATION_SEED, make
from .world import Scene

# shape, colour, size, centre x and y in the image's own 0..1, angle in degrees
Placed = tuple[str, str, str, float, float, float]
PICTURES: dict[str, tuple[int, int, str, list[Placed]]] = {
    "scene.png": (
        480,
        360,
        "gradient",
        [
            ("star", "red", "medium", 0.73, 0.31, 6),
            ("circle", "blue", "large", 0.27, 0.37, 0),
            ("heart", "yellow", "small", 0.55, 0.76, -5),
            ("ring", "green", "small", 0.84, 0.75, 0),
            ("diamond", "purple", "small", 0.17, 0.83, 0),
        ],
    ),
    "tall.png": (
        300,
        560,
        "texture",
        [
            ("triangle", "orange", "medium", 0.36, 0.2, 0),
            ("star", "white", "small", 0.7, 0.42, -8),
            ("star", "white", "small", 0.3, 0.6, 8),
            ("square", "black", "medium", 0.62, 0.82, 4),
        ],
    ),
    "wide.webp": (
        640,
        330,
        "plain",
        [
            ("cross", "green", "medium", 0.15, 0.42, 0),
            ("heart", "red", "medium", 0.42, 0.5, 0),
            ("heart", "purple", "medium", 0.68, 0.5, 0),
            ("circle", "orange", "small", 0.9, 0.3, 0),
        ],
    ),
    "turned.jpg": (
        520,
        390,
        "texture",
        [
            ("square", "blue", "medium", 0.22, 0.3, 5),
            ("ring", "yellow", "large", 0.62, 0.5, 0),
            ("diamond", "red", "small", 0.9, 0.82, 0),
        ],
    ),
}

SEEDS = {"scene.png": 7, "tall.png": 2}  # the backgrounds


def draw(name: str) -> Image.Image:
    width, height, background, placed = PICTURES[name]
    rng = np.random.default_rng([sum(name.encode()), SEEDS.get(name, 1)])
    scene = Scene(width, height, background=background)
    long = max(width, height)
    for shape, colour, size, x, y, angle in placed:
        thing = world.make_thing(rng, shape, colour, size, sum(world.SIZES[size]) / 2, angle)
        world.place(thing, 0.5 + (x - 0.5) * width / long, 0.5 + (y - 0.5) * height / long)
        scene.things.append(thing)
    return world.render(rng, scene)


def save_pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        image = draw(name)
        if name.endswith(".jpg"):
            # As a phone held upright saves it: the pixels lie on their side and EXIF says how to turn them.
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(folder / name, quality=88, exif=exif)
            assert ImageOps.exif_transpose(Image.open(folder / name)).size == image.size
        elif name.endswith(".webp"):
            image.save(folder / name, quality=85)
        else:
            image.save(folder / name, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--testset", type=Path)
    args = parser.parse_args()
    if args.images:
        save_pictures(args.images)
    if args.testset:
        make(args.testset, scenes=60, questions=5, seed=(*EVALUATION_SEED, 1000), sizes=(150, 260))


if __name__ == "__main__":
    main()
