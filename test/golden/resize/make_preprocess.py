"""Writes preprocess.json: whole passes of the image processor, with and without padding.

Run: ``python make_preprocess.py`` (../requirements.txt). The sources are those of sources.py.

For each case: ``bytesSha256`` of the uint8 [H, W, 3] picture after padding, resize and crop; ``pixelsSha256`` of
the float32 little-endian [3, H, W] pixels, which a runtime meets exactly with one rounding to float32 after each
of: v*rescale_factor, minus mean (itself float32), over std (itself float32); ``sums`` and ``squares`` of the
pixels for each channel in float64, to be compared within 1e-5 relative where the rounding is another.
"""

import hashlib
import json
import sys
from pathlib import Path

import transformers
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from sources import source

from preprocess import preprocess, preprocessor_config

HALF = [0.5, 0.5, 0.5]
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CONFIGS = {
    "clip-336": preprocessor_config(336),
    "clip-144": preprocessor_config(144),
    "half-48": preprocessor_config(48, HALF, HALF),
    "imagenet-36": preprocessor_config(36, *IMAGENET),
    # the shortest edge is longer than the crop, so both directions are cropped
    "crop-40-of-57": preprocessor_config(57) | {"crop_size": {"height": 40, "width": 40}},
    # fixed size, no crop, as SigLIP's processor
    "fixed-48x48": preprocessor_config(48, HALF, HALF) | {"size": {"height": 48, "width": 48}, "do_center_crop": False},
}
# (config, aspect, pattern, width, height); heights of 1 and 3 are left out: the reference reads them as channels
PLAN = [
    ("clip-336", "pad", "noise", 640, 480), ("clip-336", "pad", "ramp", 480, 641), ("clip-336", "pad", "binary", 337, 336),
    ("clip-336", "pad", "ramp", 1920, 1080), ("clip-336", "pad", "noise", 336, 336), ("clip-336", "pad", "noise", 20, 9),
    ("clip-336", None, "noise", 640, 480), ("clip-336", None, "ramp", 481, 640), ("clip-336", None, "binary", 335, 337),
    ("clip-336", None, "ramp", 1000, 333), ("clip-336", None, "ramp", 31, 77), ("clip-336", None, "noise", 336, 336),
    ("clip-144", "pad", "noise", 200, 150), ("clip-144", "pad", "binary", 151, 202), ("clip-144", "pad", "ramp", 50, 4),
    ("clip-144", None, "noise", 301, 77), ("clip-144", None, "binary", 145, 144), ("clip-144", None, "ramp", 7, 250),
    ("half-48", "pad", "noise", 61, 40), ("half-48", "pad", "binary", 2, 90), ("half-48", None, "noise", 90, 41),
    ("imagenet-36", "pad", "noise", 37, 36), ("imagenet-36", "pad", "ramp", 35, 36), ("imagenet-36", None, "noise", 99, 98),
    ("crop-40-of-57", "pad", "noise", 71, 53), ("crop-40-of-57", None, "noise", 71, 53), ("crop-40-of-57", None, "binary", 58, 57),
    ("fixed-48x48", None, "noise", 100, 30), ("fixed-48x48", None, "binary", 20, 61), ("fixed-48x48", None, "ramp", 48, 49),
]  # fmt: skip


def main() -> None:
    cases = []
    for i, (name, aspect, pattern, width, height) in enumerate(PLAN):
        seed = 1000 + i
        image = Image.fromarray(source(pattern, seed, width, height))
        small, pixels = preprocess(image, CONFIGS[name], aspect)
        flat = pixels.reshape(3, -1).astype(float)
        cases.append({
            "config": name,
            "image_aspect_ratio": aspect,
            "pattern": pattern,
            "seed": seed,
            "source": [width, height],
            "target": [small.shape[1], small.shape[0]],
            "bytesSha256": hashlib.sha256(small.tobytes()).hexdigest(),
            "pixelsSha256": hashlib.sha256(pixels.astype("<f4").tobytes()).hexdigest(),
            "sums": flat.sum(axis=1).tolist(),
            "squares": (flat**2).sum(axis=1).tolist(),
        })  # fmt: skip
    head = {"made_by": f"make_preprocess.py, transformers {transformers.__version__} (PIL image processor)"}
    lines = ",\n".join("    " + json.dumps(c) for c in cases)
    body = json.dumps(head | {"configs": CONFIGS}, indent=2)[:-2] + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"
    (HERE / "preprocess.json").write_text(body)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
