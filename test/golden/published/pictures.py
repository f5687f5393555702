"""Pictures to tiles: Hugging Face's LLaVA-NeXT processor, InternVL's dynamic tiling, and the one-tile processors."""

import numpy as np
from PIL import Image
from transformers import LlavaNextImageProcessorPil, SiglipImageProcessorPil
from transformers.image_processing_utils import select_best_resolution

from preprocess import preprocess, preprocessor_config

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


def preprocessor(config: dict) -> dict[str, object]:
    """preprocessor_config.json as the model's kind is published."""
    side, aspect = config["vision_config"]["image_size"], config["image_aspect_ratio"]
    kind = config["vision_config"]["model_type"]
    if kind == "siglip_vision_model":
        base = preprocessor_config(side, *HALF)
        for name in ("do_center_crop", "crop_size"):
            del base[name]
        return base | {"image_processor_type": "SiglipImageProcessor", "size": {"height": side, "width": side}}
    if kind == "intern_vit":
        return preprocessor_config(side, *IMAGENET) | {"size": side, "crop_size": side}
    if aspect == "anyres":
        return preprocessor_config(side) | {
            "image_processor_type": "LlavaNextImageProcessor",
            "aspect_ratio_setting": "anyres",
            "image_grid_pinpoints": config["image_grid_pinpoints"],
        }
    return preprocessor_config(side)


def anyres(image: Image.Image, settings: dict) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Bytes [T, S, S, 3] and pixels [T, 3, S, S] of all tiles, the whole picture first; and the tiles' layout."""
    own = {k: v for k, v in settings.items() if k not in ("image_processor_type", "aspect_ratio_setting")}
    processor = LlavaNextImageProcessorPil(**own)
    pixels = processor(images=image, return_tensors="np")["pixel_values"][0]
    raw = processor(images=image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    size = (image.height, image.width)
    best = select_best_resolution(size, settings["image_grid_pinpoints"])
    side = settings["crop_size"]["height"]
    layout = {"tiled": True, "size": size, "resolution": best, "grid": [best[0] // side, best[1] // side]}
    assert raw.dtype == np.uint8 and pixels.dtype == np.float32 and len(raw) == 1 + best[0] * best[1] // side**2
    return np.ascontiguousarray(raw.transpose(0, 2, 3, 1)), np.ascontiguousarray(pixels), layout


def dynamic_grid(width: int, height: int, least: int, most: int, side: int) -> tuple[int, int]:
    """InternVL's choice of (columns, rows): the ratio closest to the picture's among all grids of least..most tiles,
    fewer tiles first; of two equally close ones the later where the picture has more than half of its pixels."""
    grids = {
        (i, j) for n in range(least, most + 1) for i in range(1, n + 1) for j in range(1, n + 1) if least <= i * j <= most
    }
    best, distance = (1, 1), float("inf")
    for columns, rows in sorted(grids, key=lambda g: g[0] * g[1]):
        d = abs(width / height - columns / rows)
        if d < distance or (d == distance and width * height > 0.5 * side * side * columns * rows):
            best, distance = (columns, rows), d
    return best


def dynamic(
    image: Image.Image, settings: dict, least: int, most: int, thumbnail: bool
) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """As :func:`anyres`; the tiles row by row, the thumbnail last where there is more than one."""
    side = settings["crop_size"]
    columns, rows = dynamic_grid(image.width, image.height, least, most, side)
    resized = image.resize((columns * side, rows * side))  # PIL's own default: bicubic
    boxes = [(x * side, y * side, (x + 1) * side, (y + 1) * side) for y in range(rows) for x in range(columns)]
    tiles = [resized.crop(box) for box in boxes]
    if thumbnail and len(tiles) > 1:
        tiles.append(image.resize((side, side)))
    whole = settings | {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    done = [preprocess(tile, whole, None) for tile in tiles]
    raw, pixels = (np.stack(part) for part in zip(*done))
    assert all((np.asarray(tile) == bytes_).all() for tile, bytes_ in zip(tiles, raw))
    return raw, pixels, {"tiled": True, "size": (image.height, image.width), "grid": [rows, columns]}


def tiles_of(config: dict, image: Image.Image) -> tuple[np.ndarray, dict[str, object]]:
    """Pixels [T, 3, S, S] and the layout."""
    settings, aspect = preprocessor(config), config["image_aspect_ratio"]
    if aspect == "anyres":
        return anyres(image, settings)[1:]
    if aspect == "dynamic":
        return dynamic(image, settings, *(config[f"{n}_dynamic_patch"] for n in ("min", "max")), config["use_thumbnail"])[1:]
    layout = {"tiled": False, "size": (image.height, image.width)}
    if config["vision_config"]["model_type"] == "siglip_vision_model":
        processor = SiglipImageProcessorPil(**{k: v for k, v in settings.items() if k != "image_processor_type"})
        return processor(images=image, return_tensors="np")["pixel_values"], layout
    return preprocess(image, settings, "pad" if aspect == "pad" else None)[1][None], layout
