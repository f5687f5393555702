"""Writes tiles.json: whole passes of the tiling image processors. Sources: ../resize/sources.py.

Run: ``python make_tiles.py`` (../requirements.txt). ``anyres`` is Hugging Face's LlavaNextImageProcessor on PIL;
``dynamic`` is InternVL's published rule on PIL's resize, each tile then through the CLIP processor. For each case:
``grid`` (rows and columns of tiles), ``visual`` (anyres: rows and columns of merged features left by unpadding for a
grid of ``features`` a tile), and for each tile, in order, the hashes and sums of ../resize/make_preprocess.py.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers.models.llava_next.modeling_llava_next import unpad_image

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "resize")]

from pictures import IMAGENET, anyres, dynamic
from preprocess import preprocessor_config
from sources import source

NEXT = preprocessor_config(336) | {"image_processor_type": "LlavaNextImageProcessor"}
NEXT |= {"image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]}
SMALL = preprocessor_config(48) | {"image_processor_type": "LlavaNextImageProcessor"}
SMALL |= {"image_grid_pinpoints": [[48, 96], [96, 48], [96, 96], [144, 48], [48, 144]]}
INTERN = preprocessor_config(448, *IMAGENET) | {"size": 448, "crop_size": 448}
INTERN_SMALL = INTERN | {"size": 64, "crop_size": 64}
CONFIGS = {
    "next-336": {"preprocessor": NEXT, "features": 24},
    "next-48": {"preprocessor": SMALL, "features": 6},
    "intern-448": {"preprocessor": INTERN, "min": 1, "max": 12, "thumbnail": True},
    "intern-64": {"preprocessor": INTERN_SMALL, "min": 1, "max": 6, "thumbnail": True},
    "intern-64-bare": {"preprocessor": INTERN_SMALL, "min": 2, "max": 4, "thumbnail": False},
}
# (config, pattern, width, height)
PLAN = [
    ("next-336", "noise", 640, 480), ("next-336", "ramp", 1200, 301), ("next-336", "binary", 333, 999),
    ("next-336", "ramp", 672, 672), ("next-336", "noise", 41, 17), ("next-336", "ramp", 1281, 721),
    ("next-48", "noise", 83, 57), ("next-48", "binary", 57, 83), ("next-48", "ramp", 300, 47), ("next-48", "ramp", 49, 311),
    ("next-48", "noise", 96, 96), ("next-48", "noise", 7, 5), ("next-48", "ramp", 131, 130), ("next-48", "noise", 100, 33),
    ("next-48", "noise", 33, 100), ("next-48", "binary", 97, 48), ("next-48", "ramp", 500, 9), ("next-48", "noise", 145, 101),
    ("intern-448", "noise", 800, 600), ("intern-448", "ramp", 1920, 400), ("intern-448", "ramp", 500, 1501),
    ("intern-448", "binary", 448, 448), ("intern-448", "noise", 30, 21), ("intern-448", "ramp", 900, 901),
    ("intern-64", "noise", 139, 66), ("intern-64", "binary", 62, 70), ("intern-64", "ramp", 400, 61), ("intern-64", "ramp", 63, 395),
    ("intern-64", "noise", 128, 128), ("intern-64", "noise", 9, 6), ("intern-64", "ramp", 250, 167), ("intern-64", "noise", 64, 64),
    ("intern-64", "ramp", 65, 65), ("intern-64", "ramp", 180, 100), ("intern-64", "noise", 100, 80), ("intern-64", "noise", 90, 72),
    ("intern-64", "noise", 91, 91), ("intern-64", "noise", 90, 90), ("intern-64", "ramp", 5, 300),
    ("intern-64-bare", "noise", 64, 64), ("intern-64-bare", "ramp", 128, 100), ("intern-64-bare", "noise", 40, 190),
]  # fmt: skip


def tile_entry(raw, pixels) -> dict[str, object]:
    flat = pixels.reshape(3, -1).astype(float)
    return {
        "bytesSha256": hashlib.sha256(raw.tobytes()).hexdigest(),
        "pixelsSha256": hashlib.sha256(pixels.astype("<f4").tobytes()).hexdigest(),
        "sums": [round(s, 6) for s in flat.sum(axis=1).tolist()],
    }


def case(name: str, pattern: str, seed: int, width: int, height: int) -> dict[str, object]:
    image = Image.fromarray(source(pattern, seed, width, height))
    config = CONFIGS[name]
    entry: dict[str, object] = {"config": name, "pattern": pattern, "seed": seed, "source": [width, height]}
    if "features" in config:
        raw, pixels, layout = anyres(image, config["preprocessor"])
        rows, columns = (n * config["features"] for n in layout["grid"])
        left = unpad_image(torch.zeros(1, rows, columns), (height, width)).shape
        entry |= {"grid": layout["grid"], "visual": list(left[1:])}
    else:
        raw, pixels, layout = dynamic(image, config["preprocessor"], config["min"], config["max"], config["thumbnail"])
        entry |= {"grid": layout["grid"]}
    return entry | {"tiles": [tile_entry(r, p) for r, p in zip(raw, pixels)]}


def main() -> None:
    cases = [case(name, pattern, 3000 + i, width, height) for i, (name, pattern, width, height) in enumerate(PLAN)]
    head = {"made_by": f"make_tiles.py, transformers {transformers.__version__} (PIL image processors)", "configs": CONFIGS}
    lines = ",\n".join("    " + json.dumps(c) for c in cases)
    body = json.dumps(head, indent=2)[:-2] + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"
    (HERE / "tiles.json").write_text(body)
    print(f"{len(cases)} cases, {sum(len(c['tiles']) for c in cases)} tiles")


if __name__ == "__main__":
    main()
