"""Write the on-device folder: `python -m recipe.export --run DIR --model ../model [--weights average|model] [--bits 4]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from .data import MEAN, STD
from .model import LlavaSp, ModelConfig, QuantEmbedding, QuantLinear
from .quantise import affine_codes, pack
from .tasks import DESCRIBE
from .text import BOS, EOS, IMAGE, PAD, load_or_build, tokenizer_config

GROUP = 32
EMBEDDING = "language_model.model.embed_tokens"
# Not matrices that a quantised kernel multiplies by, and small.
PLAIN = (
    "vision_tower.vision_model.embeddings.patch_embedding",
    "vision_tower.vision_model.embeddings.position_embedding",
)


def load_model(run: Path, which: str) -> LlavaSp:
    """The trained model; `which` is `average` (of the weights over the last steps) or `model`."""
    tokenizer = load_or_build(run / "tokenizer.json")
    model = LlavaSp(ModelConfig(vocab_size=tokenizer.get_vocab_size()))
    model.load_state_dict(torch.load(run / "joint.pt", weights_only=True, map_location="cpu")[which])
    return model.eval()


def config(c: ModelConfig, ids: dict[str, int], bits: int) -> dict[str, object]:
    out: dict[str, object] = {
        "model_type": "llava_sp",
        "architectures": ["LlavaSpForConditionalGeneration"],
        "image_token_index": ids[IMAGE],
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "image_aspect_ratio": "pad",
        # Of the wordings in tasks.py the one that can also say that something is not there.
        "task_prompts": {
            "ground": "Where is the {phrase}?",
            "describe": DESCRIBE.format("{box}"),
            "caption": {"short": "Describe the image.", "detailed": "Describe the image."},
        },
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
        "spatial_config": {
            "type": "cropping",
            "num_tokens": c.spatial_tokens,
            "feature_size": c.spatial_width,
            "detail": {"kernel_size": c.detail_kernel, "stride": c.detail_stride},
        },
    }
    if bits:
        out["quantization"] = {
            "group_size": GROUP,
            "bits": bits,
            EMBEDDING: {"group_size": GROUP, "bits": 8},
            **{name: False for name in PLAIN},
        }
    return out


def tensors(model: LlavaSp, bits: int) -> dict[str, np.ndarray]:
    """On-device names to arrays; `bits` 0 keeps float32 and the convolutions' [S, C, k, k]."""
    out: dict[str, np.ndarray] = {}
    quantised = {n for n, m in model.named_modules() if isinstance(m, QuantLinear | QuantEmbedding)}
    for name, value in model.state_dict().items():
        if name.startswith("auxiliary."):
            continue
        layer, _, kind = name.rpartition(".")
        if bits and kind == "weight" and layer in quantised:
            codes, scale, bias = affine_codes(value, 8 if layer == EMBEDDING else bits, GROUP)
            words = pack(codes, 8 if layer == EMBEDDING else bits)
            out[name] = words.numpy().view(np.uint32)
            out[f"{layer}.scales"] = scale[..., 0].half().numpy()
            out[f"{layer}.biases"] = bias[..., 0].half().numpy()
        elif bits:
            out[name] = (value.half() if value.ndim >= 2 else value).numpy()
        else:
            out[name] = unroll(name, value, model.config).contiguous().numpy()
    return out


def unroll(name: str, value: Tensor, c: ModelConfig) -> Tensor:
    """A covering convolution back to [S, C, k, k]; anything else as it is."""
    if name.startswith("spatial_features.conv_") or name == "spatial_features.detail.conv.weight":
        k = round((value.shape[1] // c.vision_width) ** 0.5)
        return value.view(-1, k, k, c.vision_width).permute(0, 3, 1, 2)
    return value


def write_folder(model: LlavaSp, run: Path, folder: Path, bits: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_or_build(run / "tokenizer.json")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    ids = {s: tokenizer.token_to_id(s) for s in (PAD, BOS, EOS, IMAGE)}
    size = model.config.image_size
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
    generation = {"bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[PAD], "do_sample": False, "max_new_tokens": 64}  # fmt: skip
    files = {
        "config.json": config(model.config, ids, bits),
        "preprocessor_config.json": preprocessor,
        "tokenizer_config.json": tokenizer_config(),
        "generation_config.json": generation,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    save_file(tensors(model, bits), str(folder / "model.safetensors"), metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path(__file__).parent.parent / "model")
    parser.add_argument("--weights", choices=("average", "model"), default="average")
    parser.add_argument("--bits", type=int, choices=(0, 4, 8), default=4, help="0: float32, unquantised")
    args = parser.parse_args()
    write_folder(load_model(args.run, args.weights), args.run, args.model, args.bits)
    for file in sorted(args.model.iterdir()):
        print(f"{file.name} {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
