"""Writes tiles.json: pictures cut into tiles, as LLaVA-NeXT's and InternVL's processors do.

Run: ``python make_tiles.py`` (../requirements.txt). The sources are those of sources.py.

- ``cases``: ``bytesSha256`` of the uint8 [T, S, S, 3] tiles in the model's order, ``pixelsSha256`` of the float32
  little-endian [T, 3, S, S] pixels, and ``grid`` [rows, columns] of the tiles of the picture, its whole apart.
- ``choices``: for ``count`` sizes from ``seed``, the sha256 of the lines ``width height rows columns`` (anyres: and the
  height and width of the unpadded features, by Hugging Face's ``unpad_image``; dynamic: by InternVL's published rule). Sizes
  are ``1 + state % limit`` of successive xorshift32 states (sources.py), width first; every fourth picture is a
  multiple of the tile's side plus or minus 1 or 0 in both: ``max(1, side * (1 + s % 5) + t % 3 - 1)``.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_next.modeling_llava_next import unpad_image

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "published")]

from pictures import anyres, dynamic, dynamic_grid, preprocessor

from sources import MASK, source


def pinpoints(side: int) -> list[list[int]]:
    """LLaVA-1.6's."""
    return [[side * h, side * w] for h, w in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))]


def config(kind: str, side: int, most: int = 12) -> dict[str, object]:
    vision = {"image_size": side, "model_type": "clip_vision_model" if kind == "anyres" else "intern_vit"}
    if kind == "anyres":
        return {"vision_config": vision, "image_aspect_ratio": kind, "image_grid_pinpoints": pinpoints(side)}
    limits = {"min_dynamic_patch": 1, "max_dynamic_patch": most, "use_thumbnail": True}
    return {"vision_config": vision, "image_aspect_ratio": kind} | limits


CONFIGS = {
    "anyres-48": config("anyres", 48),
    "anyres-336": config("anyres", 336),
    "dynamic-32": config("dynamic", 32),
    "dynamic-32-to-6": config("dynamic", 32, 6),
    "dynamic-448": config("dynamic", 448),
}
# heights and widths of 1 and 3 are left out of anyres: the reference may read them as channels
PLAN = [
    ("anyres-48", "noise", 100, 100), ("anyres-48", "noise", 200, 60), ("anyres-48", "binary", 31, 140),
    ("anyres-48", "ramp", 500, 20), ("anyres-48", "binary", 7, 5), ("anyres-48", "noise", 96, 48), ("anyres-48", "ramp", 97, 47),
    ("anyres-48", "noise", 45, 200), ("anyres-48", "noise", 145, 144), ("anyres-336", "ramp", 640, 479),
    ("dynamic-32", "noise", 100, 100), ("dynamic-32", "binary", 200, 60), ("dynamic-32", "noise", 31, 140),
    ("dynamic-32", "ramp", 500, 20), ("dynamic-32", "binary", 7, 5), ("dynamic-32", "noise", 1, 90), ("dynamic-32", "noise", 64, 64),
    ("dynamic-32", "noise", 32, 32), ("dynamic-32", "binary", 33, 31), ("dynamic-32-to-6", "noise", 101, 77),
    ("dynamic-32-to-6", "ramp", 300, 29), ("dynamic-448", "ramp", 641, 480),
]  # fmt: skip


def cut(settings: dict, image: Image.Image):
    own = preprocessor(settings)
    if settings["image_aspect_ratio"] == "anyres":
        return anyres(image, own)
    return dynamic(image, own, settings["min_dynamic_patch"], settings["max_dynamic_patch"], settings["use_thumbnail"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sizes(seed: int, count: int, limit: int, side: int):
    state = seed

    def step() -> int:
        nonlocal state
        state ^= (state << 13) & MASK
        state ^= state >> 17
        state ^= (state << 5) & MASK
        return state

    for i in range(count):
        if i % 4 == 3:
            yield tuple(max(1, side * (1 + step() % 5) + step() % 3 - 1) for _ in "wh")
        else:
            yield 1 + step() % limit, 1 + step() % limit


def choices(name: str, seed: int, count: int, limit: int, patches: int) -> dict[str, object]:
    settings = CONFIGS[name]
    side = settings["vision_config"]["image_size"]
    lines = []
    for width, height in sizes(seed, count, limit, side):
        if settings["image_aspect_ratio"] == "anyres":
            best = select_best_resolution((height, width), settings["image_grid_pinpoints"])
            rows, columns = best[0] // side, best[1] // side
            features = unpad_image(torch.zeros(1, rows * patches, columns * patches), (height, width))
            lines.append(f"{width} {height} {rows} {columns} {features.shape[1]} {features.shape[2]}")
        else:
            columns, rows = dynamic_grid(width, height, settings["min_dynamic_patch"], settings["max_dynamic_patch"], side)
            lines.append(f"{width} {height} {rows} {columns}")
    text = "".join(f"{line}\n" for line in lines)
    head = {"config": name, "seed": seed, "count": count, "limit": limit, "side": side, "patches": patches}
    return head | {"sha256": sha256(text.encode()), "first": lines[:8]}


def main() -> None:
    cases = []
    for i, (name, pattern, width, height) in enumerate(PLAN):
        seed = 3000 + i
        raw, pixels, layout = cut(CONFIGS[name], Image.fromarray(source(pattern, seed, width, height)))
        cases.append({
            "config": name,
            "pattern": pattern,
            "seed": seed,
            "source": [width, height],
            "tiles": len(raw),
            "grid": layout["grid"],
            "bytesSha256": sha256(raw.tobytes()),
            "pixelsSha256": sha256(pixels.astype("<f4").tobytes()),
        })  # fmt: skip
    head = {
        "made_by": f"make_tiles.py, transformers {transformers.__version__} (PIL image processors)",
        "configs": {name: {**c, "preprocessor": preprocessor(c)} for name, c in CONFIGS.items()},
        "choices": [
            choices("anyres-48", 41, 4000, 200, 6),
            choices("anyres-336", 42, 4000, 3000, 24),
            choices("anyres-336", 43, 1000, 60_000, 24),
            choices("dynamic-32", 44, 4000, 200, 0),
            choices("dynamic-448", 45, 4000, 4000, 0),
            choices("dynamic-32-to-6", 46, 2000, 300, 0),
        ],
    }
    lines = ",\n".join("    " + json.dumps(c) for c in cases)
    body = json.dumps(head, indent=1)[:-2] + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"
    (HERE / "tiles.json").write_text(body)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
