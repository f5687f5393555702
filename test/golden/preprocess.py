"""Image to pixels by the reference: Hugging Face's CLIP image processor on PIL images, with LLaVA's padding before it."""

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessorPil

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def preprocessor_config(side: int, mean: list[float] = CLIP_MEAN, std: list[float] = CLIP_STD) -> dict[str, object]:
    """The fields of ``preprocessor_config.json`` for a square input of ``side`` pixels."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }


def expand_to_square(image: Image.Image, mean: list[float]) -> Image.Image:
    """Specification section 1, "pad": centred on a square of the longer side, filled with trunc(mean*255)."""
    width, height = image.size
    side = max(width, height)
    square = Image.new("RGB", (side, side), tuple(int(m * 255) for m in mean))
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def preprocess(image: Image.Image, config: dict, aspect: str | None) -> tuple[np.ndarray, np.ndarray]:
    """RGB picture to (uint8 [H, W, 3] after resize and crop, float32 pixels [3, H, W])."""
    if aspect == "pad":
        image = expand_to_square(image, config["image_mean"])
    processor = CLIPImageProcessorPil(**{k: v for k, v in config.items() if k != "image_processor_type"})
    pixels = processor(images=image, return_tensors="np")["pixel_values"][0]
    bytes_only = processor(images=image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    assert bytes_only.dtype == np.uint8 and pixels.dtype == np.float32
    return np.ascontiguousarray(bytes_only.transpose(1, 2, 0)), np.ascontiguousarray(pixels)
