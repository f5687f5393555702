"""The drawings: icons of several open sets, rasterised once to a file that all processes map.

The sets come from npm (`npm ci` in `recipe/icons`); licences and authors: `LICENSES.md`.
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from .kinds import ICONS

HERE = Path(__file__).parent / "icons"
EDGE = 40  # alpha from which on a pixel counts as drawn
SIDE = 128  # pixels of a rasterised icon's longer side
# Sets drawn in many colours, and sets of one colour, which are always tinted.
COLOURFUL = ("noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "emojione", "fxemoji")
MONOTONE = ("fluent-emoji-high-contrast", "emojione-monotone")
TRAIN_STYLES = (*COLOURFUL, *MONOTONE)
# Never trained on: drawn by other people, in another manner.
HELD_OUT_STYLE = "twemoji"
# Drawings that show something else than their name says, or hardly show it.
WRONG = frozenset({("noto-v1", "train")})  # a bus


@dataclass(frozen=True)
class Drawing:
    kind: str
    style: str
    name: str


def _set(name: str) -> dict:
    folder = HERE / "node_modules" / "@iconify-json" / name
    if not folder.exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    return json.loads((folder / "icons.json").read_text())


def _rasterise(icons: dict, name: str) -> Image.Image | None:
    """An RGBA picture cropped to what is drawn; its longer side has SIDE pixels at most."""
    import resvg_py  # only where the file is made

    icon = icons["icons"].get(name) or icons["icons"].get(icons.get("aliases", {}).get(name, {}).get("parent"))
    if icon is None:
        return None
    width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    view = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    body = icon["body"].replace("currentColor", "#000")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="{view}">{body}</svg>'
    )
    big = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2 * SIDE)))).convert("RGBA")
    box = big.getchannel("A").point(lambda a: 255 if a > 24 else 0).getbbox()
    if box is None:
        return None
    big = big.crop(box)
    scale = SIDE / max(big.size)
    return big.resize((max(1, round(big.width * scale)), max(1, round(big.height * scale))), Image.Resampling.BICUBIC)


def _build(path: Path) -> None:
    pixels: list[np.ndarray] = []
    index: list[dict] = []
    at = 0
    for style in (*TRAIN_STYLES, HELD_OUT_STYLE):
        icons = _set(style)
        for kind, icon in ICONS.items():
            for name in icon.names:
                image = None if (style, name) in WRONG else _rasterise(icons, name)
                if image is None:
                    continue
                data = np.asarray(image).reshape(-1)
                index.append({"kind": kind, "style": style, "name": name, "at": at, "width": image.width, "height": image.height})
                pixels.append(data)
                at += data.size
    path.mkdir(parents=True, exist_ok=True)
    for name, write in (("icons.npy", lambda f: np.save(f, np.concatenate(pixels))), ("icons.json", lambda f: f.write(json.dumps(index).encode()))):
        with (path / f"{name}.{os.getpid()}").open("wb") as file:
            write(file)
        os.replace(path / f"{name}.{os.getpid()}", path / name)


@cache
def _atlas() -> tuple[np.ndarray, list[dict]]:
    path = HERE / "atlas"
    if not (path / "icons.json").exists():
        _build(path)
    return np.load(path / "icons.npy", mmap_mode="r"), json.loads((path / "icons.json").read_text())


@cache
def drawings(held_out: bool) -> dict[str, list[Drawing]]:
    """The drawings of each kind, of the trained styles or of the held-out one."""
    out: dict[str, list[Drawing]] = {kind: [] for kind in ICONS}
    for entry in _atlas()[1]:
        if (entry["style"] == HELD_OUT_STYLE) == held_out:
            out[entry["kind"]].append(Drawing(entry["kind"], entry["style"], entry["name"]))
    return out


@cache
def _entries() -> dict[tuple[str, str], dict]:
    return {(e["style"], e["name"]): e for e in _atlas()[1]}


@cache
def _picture(drawing: Drawing) -> Image.Image:
    """Its pixels with colours multiplied by alpha (PIL's RGBa), cropped to what is drawn."""
    entry = _entries()[drawing.style, drawing.name]
    size = entry["width"] * entry["height"] * 4
    pixels = _atlas()[0][entry["at"] : entry["at"] + size].tobytes()
    return Image.frombytes("RGBA", (entry["width"], entry["height"]), pixels).convert("RGBa")


@cache
def _reduced(drawing: Drawing, level: int) -> Image.Image:
    image = _picture(drawing)
    if level == 0:
        return image
    scale = 2 ** (-level / 2)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)


def picture(drawing: Drawing, scale: float) -> Image.Image:
    """Its pixels (RGBa) at the smallest of the sizes 1, 0.71, 0.5, ... that is no smaller than `scale`."""
    return _reduced(drawing, max(0, math.floor(-2 * math.log2(scale) + 1e-6)) if scale < 1 else 0)


@cache
def hull(drawing: Drawing) -> np.ndarray:
    """The outermost drawn points [n, 2] from the picture's middle, in pixels of its full size: those that decide how far
    it reaches, whatever way it is turned."""
    image = _picture(drawing)
    drawn = np.asarray(image)[..., 3] > EDGE
    y = drawn.any(1).nonzero()[0]
    left, right = drawn[y].argmax(1), image.width - drawn[y, ::-1].argmax(1)  # a row's ends are enough
    x, y = np.concatenate([left, right, left, right]), np.concatenate([y, y, y + 1, y + 1])
    corners = np.stack([x, y], 1)
    points = corners - np.array([image.width, image.height]) / 2
    angles = np.arange(90) * (2 * np.pi / 90)
    return points[np.unique((points @ np.stack([np.cos(angles), np.sin(angles)])).argmax(0))]


def licences() -> list[tuple[str, str, str, str]]:
    """Of each set: its name, title, author and licence, as the set says them."""
    out = []
    for style in (*TRAIN_STYLES, HELD_OUT_STYLE):
        _set(style)
        info = json.loads((HERE / "node_modules" / "@iconify-json" / style / "info.json").read_text())
        author, licence = info["author"], info["license"]
        out.append((style, info["name"], f"[{author['name']}]({author.get('url', '')})", licence["spdx"]))
    return out
