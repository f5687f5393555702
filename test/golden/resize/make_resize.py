"""Writes cases.json: what Pillow's antialiased bicubic resize gives, byte for byte.

Run: ``python make_resize.py`` (Pillow and numpy, pinned in ../requirements.txt). Seeded: the seed of a case
is its index + 1, so a second run writes the same file. The sources are described in sources.py.
"""

import base64
import hashlib
import json
from pathlib import Path

import PIL
from PIL import Image
from sources import source

HERE = Path(__file__).parent
PATTERNS = ("noise", "binary", "ramp")

# (source width, source height, target width, target height)
SMALL = [  # full bytes are stored for these, to debug with
    (4, 4, 2, 2),
    (3, 5, 7, 4),
    (8, 6, 3, 5),
    (1, 1, 4, 3),
    (5, 1, 2, 6),
    (1, 7, 5, 3),
    (16, 9, 12, 12),
    (7, 7, 15, 16),
    (20, 20, 19, 21),
]
SIZES = [
    # the same size in one or both directions: that pass is skipped
    (17, 23, 17, 23),
    (17, 23, 17, 9),
    (17, 23, 40, 23),
    (1, 1, 1, 1),
    # one-pixel edges
    (1, 100, 1, 13),
    (100, 1, 13, 1),
    (1, 64, 32, 64),
    (64, 1, 64, 32),
    (64, 64, 1, 1),
    (63, 65, 1, 64),
    (63, 65, 64, 1),
    (2, 2, 1, 3),
    (2, 500, 3, 33),
    (500, 2, 33, 3),
    # off by one at the target sizes in use
    (143, 145, 144, 144),
    (144, 143, 145, 144),
    (335, 337, 336, 336),
    (336, 335, 337, 336),
    # halves, doubles, thirds, and odd fractions
    (64, 48, 32, 24),
    (32, 24, 64, 48),
    (99, 66, 33, 22),
    (33, 22, 99, 66),
    (101, 67, 50, 33),
    (50, 33, 101, 67),
    (128, 96, 144, 108),
    (144, 108, 128, 96),
    (97, 89, 83, 79),
    (83, 79, 97, 89),
    (255, 257, 254, 258),
    # up in one direction, down in the other
    (40, 120, 121, 39),
    (200, 10, 20, 100),
    (10, 200, 100, 20),
    (73, 31, 30, 74),
    (300, 7, 11, 210),
    # strong down-scaling
    (500, 500, 7, 7),
    (511, 513, 16, 16),
    (640, 480, 12, 9),
    (1000, 30, 3, 2),
    (30, 1000, 2, 3),
    (997, 11, 5, 11),
    # strong up-scaling
    (2, 3, 200, 300),
    (3, 2, 301, 199),
    (5, 5, 333, 7),
    (6, 4, 144, 96),
    (1, 2, 250, 251),
    (9, 16, 189, 336),
    # sizes of cameras and screens, at the sizes models take
    (640, 480, 448, 336),
    (480, 640, 336, 448),
    (640, 360, 597, 336),
    (400, 300, 144, 144),
    (320, 240, 192, 144),
    (512, 512, 336, 336),
    (224, 224, 336, 336),
    (384, 384, 336, 336),
    (600, 450, 384, 384),
    (450, 300, 448, 448),
    (1024, 768, 336, 336),
    (801, 601, 447, 336),
]
# Too many bytes for a generator that works a byte at a time: the ramp only.
LARGE = [
    (1920, 1080, 597, 336),
    (1080, 1920, 336, 597),
    (2048, 1536, 336, 336),
    (3000, 2000, 504, 336),
    (4000, 50, 400, 5),
    (50, 4000, 5, 400),
    (10000, 3, 100, 3),
    (3, 10000, 3, 100),
    (1500, 1500, 1499, 1501),
]


def case(index: int, pattern: str, sizes: tuple[int, int, int, int], keep: bool) -> dict[str, object]:
    sw, sh, dw, dh = sizes
    pixels = source(pattern, index + 1, sw, sh)
    resized = Image.fromarray(pixels).resize((dw, dh), Image.Resampling.BICUBIC).tobytes()
    result: dict[str, object] = {
        "pattern": pattern,
        "seed": index + 1,
        "source": [sw, sh],
        "target": [dw, dh],
        "sourceSha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "sha256": hashlib.sha256(resized).hexdigest(),
    }
    if keep:
        result["bytes"] = base64.b64encode(resized).decode()
    return result


def main() -> None:
    plan = [(s, PATTERNS[i % 3], True) for i, s in enumerate(SMALL)]
    plan += [(s, PATTERNS[i % 3], False) for i, s in enumerate(SIZES)]
    plan += [(s, "ramp", False) for s in LARGE]
    cases = [case(i, pattern, sizes, keep) for i, (sizes, pattern, keep) in enumerate(plan)]
    lines = ",\n".join("    " + json.dumps(c) for c in cases)
    head = {"made_by": f"make_resize.py, Pillow {PIL.__version__}", "filter": "bicubic, antialiased (PIL BICUBIC)"}
    body = json.dumps(head, indent=2)[1:-2] + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"
    (HERE / "cases.json").write_text("{" + body)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
