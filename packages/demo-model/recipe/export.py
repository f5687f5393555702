"""Write an on-device folder: `python -m recipe.export --run DIR --variant cropping --model ../model [--float32]`.

The baseline's folder has no `spatial_config`: it is a LLaVA-1.5. `--float32` keeps the weights as they were
trained, for `llava-sp convert` to quantise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from .data import MEAN, STD
from .joint import VISION
from .model import SIZES, ModelConfig, QuantEmbedding, QuantLinear, VisionModel
from .quantise import affine_codes, pack
from .reader import Reader
from .spatial import VARIANTS
from .text import BOS, EOS, IMAGE, PAD, load_or_build, tokenizer_config

GROUP = 32
EMBEDDING = "language_model.model.embed_tokens"
# Not matrices that a quantised kernel multiplies by, and small.
PLAIN = (
    "vision_tower.vision_model.embeddings.patch_embedding",
    "vision_tower.vision_model.embeddings.position_embedding",
)


@dataclass
class Trained:
    """One trained variant: the tower and what reads it."""

    tower: VisionModel
    reader: Reader

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The modules that ship, by the beginning of their names."""
        yield VISION.removesuffix("."), self.tower
        yield from ((name, part) for name, part in self.reader.named_children() if name != "teaching")


def load_trained(run: Path, stage: str, variant: str, which: str, size: str) -> Trained:
    """From a stage's checkpoint; `which` is `average` (of the weights over the last steps) or `model`."""
    tokenizer = load_or_build(run / "tokenizer.json")
    c = replace(SIZES[size], vocab_size=tokenizer.get_vocab_size())
    state = torch.load(run / f"{stage}.pt", weights_only=True, map_location="cpu")
    trained = Trained(VisionModel(c), Reader(c, variant))
    trained.tower.load_state_dict(state["vision"])
    trained.reader.load_state_dict(state["variants"][variant][which])
    return trained


def config(c: ModelConfig, variant: str, ids: dict[str, int], bits: int) -> dict[str, object]:
    out: dict[str, object] = {
        "model_type": "llava_sp",
        "architectures": ["LlavaSpForConditionalGeneration"],
        "image_token_index": ids[IMAGE],
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "image_aspect_ratio": "pad",
        # Half of its training asks so, in fewer tokens than LLaVA's own words.
        "task_prompts": {"ground": "Where is the {phrase}?"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": c.vision_width,
            "intermediate_size": c.vision_mlp,
            "num_hidden_layers": c.vision_layers,
            "num_attention_heads": c.vision_heads,
            "num_channels": 3,
            "image_size": c.image_size,
            "patch_size": c.patch_size,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": c.width,
            "intermediate_size": c.mlp,
            "num_hidden_layers": c.layers,
            "num_attention_heads": c.heads,
            "num_key_value_heads": c.kv_heads,
            "head_dim": c.width // c.heads,
            "vocab_size": c.vocab_size,
            "rms_norm_eps": c.norm_eps,
            "rope_theta": c.rope_theta,
            "max_position_embeddings": c.max_positions,
            "tie_word_embeddings": True,
            "attention_bias": False,
            "hidden_act": "silu",
            "bos_token_id": ids[BOS],
            "eos_token_id": ids[EOS],
        },
    }
    if variant != "baseline":
        spatial: dict[str, object] = {
            "type": variant,
            "num_tokens": c.spatial_tokens,
            "feature_size": c.spatial_width,
        }
        if variant == "cropping":
            spatial["detail"] = {"kernel_size": c.detail_kernel, "stride": c.detail_stride}
        out["spatial_config"] = spatial
    if bits:
        out["quantization"] = {
            "group_size": GROUP,
            "bits": bits,
            EMBEDDING: {"group_size": GROUP, "bits": 8},
            **{name: False for name in PLAIN},
        }
    return out


def tensors(trained: Trained, bits: int) -> dict[str, np.ndarray]:
    """On-device names to arrays; `bits` 0 keeps float32 and the convolutions' [S, C, k, k]."""
    out: dict[str, np.ndarray] = {}
    for part, module in trained.parts():
        quantised = {n for n, m in module.named_modules() if isinstance(m, QuantLinear | QuantEmbedding)}
        for own, value in module.state_dict().items():
            layer, _, kind = own.rpartition(".")
            name = f"{part}.{own}"
            if bits and kind == "weight" and layer in quantised:
                width = 8 if f"{part}.{layer}" == EMBEDDING else bits
                codes, scale, bias = affine_codes(value, width, GROUP)
                out[name] = pack(codes, width).numpy().view(np.uint32)
                out[f"{part}.{layer}.scales"] = scale[..., 0].half().numpy()
                out[f"{part}.{layer}.biases"] = bias[..., 0].half().numpy()
            elif bits:
                out[name] = (value.half() if value.ndim >= 2 else value).numpy()
            else:
                out[name] = unroll(name, value, trained.reader.config).contiguous().numpy()
    return out


def unroll(name: str, value: Tensor, c: ModelConfig) -> Tensor:
    """A covering convolution back to [S, C, k, k]; anything else as it is."""
    if name.startswith("spatial_features.conv_") or name == "spatial_features.detail.conv.weight":
        k = round((value.shape[1] // c.vision_width) ** 0.5)
        return value.view(-1, k, k, c.vision_width).permute(0, 3, 1, 2)
    return value


def write_folder(trained: Trained, run: Path, folder: Path, bits: int) -> None:
    c, variant = trained.reader.config, trained.reader.variant
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_or_build(run / "tokenizer.json")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    ids = {s: tokenizer.token_to_id(s) for s in (PAD, BOS, EOS, IMAGE)}
    size = c.image_size
    preprocessor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
    generation = {"bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[PAD], "do_sample": False, "max_new_tokens": 128}  # fmt: skip
    files = {
        "config.json": config(c, variant, ids, bits),
        "preprocessor_config.json": preprocessor,
        "tokenizer_config.json": tokenizer_config(),
        "generation_config.json": generation,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    save_file(tensors(trained, bits), str(folder / "model.safetensors"), metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path(__file__).parent.parent / "model")
    parser.add_argument("--variant", choices=VARIANTS, default="cropping")
    parser.add_argument("--stage", choices=("joint", "longer"), default="longer", help="joint: as compared")
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu", help="as trained")
    parser.add_argument("--weights", choices=("average", "model"), default="average")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4, help="of the matrices; the token table has 8")
    parser.add_argument("--float32", action="store_true", help="unquantised")
    args = parser.parse_args()
    trained = load_trained(args.run, args.stage, args.variant, args.weights, args.size)
    write_folder(trained, args.run, args.model, 0 if args.float32 else args.bits)
    for file in sorted(args.model.iterdir()):
        print(f"{file.name} {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
