"""Tiny models of every published architecture: the on-device configuration, and random weights under on-device names.

All values lie on the grid of 2^-10 below 2 and are whole in float16 (bfloat16 where a model is published in it), so
that a conversion to float16 loses nothing and the goldens can be met to float32's rounding.
"""

import numpy as np
import torch

from checkpoint import Random, Weights, vision_weights

PATCH = 8
GRID_STEP = 2.0**-10

CLIP = {
    "model_type": "clip_vision_model", "num_channels": 3, "image_size": 48, "patch_size": PATCH,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
}  # fmt: skip
SIGLIP = CLIP | {"model_type": "siglip_vision_model", "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
INTERN_VIT = CLIP | {
    "model_type": "intern_vit", "hidden_act": "gelu", "layer_norm_eps": 1e-6, "image_size": 64,
    "num_hidden_layers": 2, "qkv_bias": True, "qk_normalization": False,
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "vocab_size": 400, "max_position_embeddings": 512, "hidden_act": "silu",
    "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": False, "attention_bias": False,
}  # fmt: skip
QWEN2 = LLAMA | {
    "model_type": "qwen2", "vocab_size": 352, "bos_token_id": 320, "eos_token_id": [322, 320], "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": True, "attention_bias": True,
}  # fmt: skip


def config(vision: dict, text: dict, spatial: dict | None, **fields: object) -> dict[str, object]:
    base = {
        "model_type": "llava_sp",
        "architectures": ["LlavaSpForConditionalGeneration"],
        "image_token_index": text["vocab_size"],
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "image_aspect_ratio": "pad",
    }
    return base | fields | {"vision_config": vision, "text_config": text, "spatial_config": spatial}


def spatial(kind: str, tokens: int, detail: int | None, **fields: object) -> dict[str, object]:
    kernel = None if detail is None else {"kernel_size": detail, "stride": 2}
    return {"type": kind, "num_tokens": tokens, "feature_size": 32, "detail": kernel} | fields


ANYRES = {
    "image_aspect_ratio": "anyres",
    "image_grid_pinpoints": [[48, 96], [96, 48], [96, 96], [144, 48], [48, 144]],
    "mm_patch_merge_type": "spatial_unpad",
}
INTERNVL = {
    "image_token_index": 325, "vision_feature_layer": -1, "downsample_ratio": 0.5, "image_aspect_ratio": "dynamic",
    "min_dynamic_patch": 1, "max_dynamic_patch": 6, "use_thumbnail": True,
}  # fmt: skip
PADDED = LLAMA | {"vocab_size": 416}

CONFIGS: dict[str, dict] = {
    "lora-cropping": config(CLIP, LLAMA, spatial("cropping", 6, 4)),
    "lora-pooling": config(CLIP, LLAMA, spatial("pooling", 3, None)),
    "merged-cropping": config(CLIP, LLAMA, spatial("cropping", 3, 2)),
    "llava-hf-old": config(CLIP, PADDED, None, image_token_index=400, image_aspect_ratio="original"),
    "llava-hf-new": config(CLIP, PADDED, None, image_token_index=400, image_aspect_ratio="original"),
    "llava-next": config(CLIP, PADDED, None, image_token_index=400, **ANYRES),
    "next-sp": config(
        CLIP,
        LLAMA,
        spatial("pooling", 3, 2),
        **ANYRES | {"image_grid_pinpoints": [[48, 96], [144, 96]]},
    ),
    "internvl2": config(INTERN_VIT, QWEN2, None, **INTERNVL),
    "internvl2-sp": config(
        INTERN_VIT | {"qk_normalization": True, "qkv_bias": False},
        QWEN2,
        spatial("cropping", 3, 4, kernel_sizes=[2, 5, 8]),
        **INTERNVL,
    ),
    "siglip-qwen2": config(
        SIGLIP,
        QWEN2,
        spatial("cropping", 3, 4),
        vision_feature_select_strategy="full",
        image_aspect_ratio="original",
    ),
    "transformer-sfe": config(
        CLIP,
        LLAMA,
        spatial("cropping", 2, None, extractor="transformer", transformer={"layers": 2, "heads": 8, "mlp": 64}),
    ),
    "mlx-q4": config(CLIP | {"num_hidden_layers": 2}, PADDED, None, image_token_index=400, image_aspect_ratio="original"),
    "mlx-q4-all": config(CLIP | {"num_hidden_layers": 2}, PADDED, None, image_token_index=400, image_aspect_ratio="original"),
}  # fmt: skip
# InternVL2-1B is published in bfloat16.
BF16 = ("internvl2", "internvl2-sp", "siglip-qwen2")


def on_grid(w: np.ndarray, bf16: bool) -> np.ndarray:
    """The nearest value of the grid below 2, float32."""
    w = (np.rint(w / GRID_STEP) * GRID_STEP).clip(-2 + GRID_STEP, 2 - GRID_STEP).astype(np.float32)
    if not bf16:
        return w
    return torch.from_numpy(w).to(torch.bfloat16).clamp(-1.9921875, 1.9921875).float().numpy()


def rounded(weights: Weights, bf16: bool) -> Weights:
    return {name: on_grid(w, bf16) for name, w in weights.items()}


def kernels(config: dict) -> list[int]:
    """Sides of the maps: given, or floor(G*i/N)."""
    settings, vision = config["spatial_config"], config["vision_config"]
    side, count = vision["image_size"] // vision["patch_size"], settings["num_tokens"]
    return settings.get("kernel_sizes") or [side * i // count for i in range(1, count + 1)]


class Family(Random):
    """The weights that test/golden's own models have not."""

    def encoder(self, config: dict, layers: int) -> None:
        """SigLIP or InternViT; InternViT's LayerScale is apart (see ``layer_scales``)."""
        vision = config["vision_config"]
        intern = vision["model_type"] == "intern_vit"
        width, inner, side = vision["hidden_size"], vision["intermediate_size"], vision["image_size"] // PATCH
        root = "vision_tower.vision_model"
        if intern:
            self.normal(f"{root}.embeddings.class_embedding", width, std=0.7)
        self.matrix(f"{root}.embeddings.patch_embedding", width, 3, PATCH, PATCH)
        self.normal(f"{root}.embeddings.patch_embedding.bias", width, std=0.1)
        self.normal(f"{root}.embeddings.position_embedding.weight", side * side + int(intern), width, std=0.5)
        for i in range(layers):
            layer = f"{root}.encoder.layers.{i}"
            self.norm(f"{layer}.layer_norm1", width, bias=True)
            self.norm(f"{layer}.layer_norm2", width, bias=True)
            for name in ("q", "k", "v", "out"):
                biased = name == "out" or vision.get("qkv_bias", True)
                make = self.linear if biased else self.matrix
                make(f"{layer}.self_attn.{name}_proj", width, width, gain=1.7 if name in "qk" else 1.0)
            if vision.get("qk_normalization"):
                self.norm(f"{layer}.self_attn.q_norm", width, bias=False)
                self.norm(f"{layer}.self_attn.k_norm", width, bias=False)
            self.linear(f"{layer}.mlp.fc1", inner, width)
            self.linear(f"{layer}.mlp.fc2", width, inner)

    def pixel_shuffle_projector(self, config: dict) -> None:
        width, hidden = 4 * config["vision_config"]["hidden_size"], config["text_config"]["hidden_size"]
        self.norm("multi_modal_projector.norm", width, bias=True)
        self.linear("multi_modal_projector.linear_1", hidden, width)
        self.linear("multi_modal_projector.linear_2", hidden, hidden)

    def transformer(self, name: str, width: int, layers: int, mlp: int) -> None:
        """torch.nn.Transformer's parameters without biases, under on-device names."""
        self.normal(f"{name}.query.weight", 1, width, std=1.0)
        for side, norms in (("encoder", 2), ("decoder", 3)):
            for j in range(layers):
                layer = f"{name}.{side}.layers.{j}"
                for kind in ("self_attn",) if side == "encoder" else ("self_attn", "cross_attn"):
                    for part in ("q", "k", "v", "out"):
                        self.matrix(f"{layer}.{kind}.{part}_proj", width, width)
                self.matrix(f"{layer}.linear1", mlp, width)
                self.matrix(f"{layer}.linear2", width, mlp)
                for n in range(1, norms + 1):
                    self.norm(f"{layer}.norm{n}", width, bias=False)
            self.norm(f"{name}.{side}.norm", width, bias=False)


def vision_part(config: dict, seed: int, bf16: bool) -> Weights:
    """Tower up to the selected layer, projector, spatial parts, image_newline; LayerScale not folded yet."""
    vision, text, settings = config["vision_config"], config["text_config"], config["spatial_config"]
    layers = vision["num_hidden_layers"] + config["vision_feature_layer"] + 1
    r = Family(seed)
    if vision["model_type"] == "clip_vision_model" and "kernel_sizes" not in (settings or {}):
        plain = config if settings is None or "extractor" not in settings else config | {"spatial_config": None}
        r.weights |= vision_weights(plain, seed)
    else:
        r.encoder(config, layers)
        if "downsample_ratio" in config:
            r.pixel_shuffle_projector(config)
        else:
            r.linear("multi_modal_projector.linear_1", text["hidden_size"], vision["hidden_size"])
            r.linear("multi_modal_projector.linear_2", text["hidden_size"], text["hidden_size"])
        if settings is not None:
            spatial_part(r, config)
    if settings is not None and "extractor" in settings:
        shape = settings["transformer"]
        for k in kernels(config):
            r.transformer(f"spatial_features.transformer_{k}", vision["hidden_size"], shape["layers"], shape["mlp"])
        r.matrix("spatial_features.projector", text["hidden_size"], settings["feature_size"], gain=1.5)
    if config["image_aspect_ratio"] == "anyres":
        r.normal("image_newline.weight", 1, text["hidden_size"], std=0.7)
    return rounded(r.weights, bf16)


def spatial_part(r: Family, config: dict) -> None:
    settings, width = config["spatial_config"], config["vision_config"]["hidden_size"]
    size, detail, hidden = settings["feature_size"], settings["detail"], config["text_config"]["hidden_size"]
    for k in kernels(config):
        r.matrix(f"spatial_features.conv_{k}", size, width, k, k)
    if detail is None:
        r.matrix("spatial_features.projector", hidden, size, gain=1.5)
        return
    r.matrix("spatial_features.detail.conv", size, width, detail["kernel_size"], detail["kernel_size"])
    for name in ("query", "key", "value"):
        r.norm(f"spatial_features.detail.{name}_norm", size, bias=True)
        r.linear(f"spatial_features.detail.{name}_proj", size, size, gain=1.0 if name == "value" else 1.5)
    r.linear("spatial_features.projector", hidden, 2 * size, gain=1.5)


def layer_scales(config: dict, seed: int) -> Weights:
    """InternViT's ``ls1`` and ``ls2``, in quarters: products with a bfloat16 weight stay whole in float16."""
    rng = np.random.Generator(np.random.PCG64(seed + 1))
    vision = config["vision_config"]
    names = [f"{i}.ls{j}" for i in range(vision["num_hidden_layers"]) for j in (1, 2)]
    return {name: (rng.integers(1, 5, vision["hidden_size"]) / 4).astype(np.float32) for name in names}


def folded(weights: Weights, scales: Weights) -> Weights:
    """LayerScale in the rows of the projection before it."""
    result = dict(weights)
    for name, scale in scales.items():
        i, which = name.split(".")
        layer = f"vision_tower.vision_model.encoder.layers.{i}"
        projection = f"{layer}.self_attn.out_proj" if which == "ls1" else f"{layer}.mlp.fc2"
        result[f"{projection}.weight"] = weights[f"{projection}.weight"] * scale[:, None]
        result[f"{projection}.bias"] = weights[f"{projection}.bias"] * scale
    return result


def lora(config: dict, seed: int, rank: int = 4) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per decoder matrix (A [rank, in], B [out, rank]), with few values, so that W + 2BA stays on the grid."""
    rng = np.random.Generator(np.random.PCG64(seed + 2))
    text = config["text_config"]
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    shapes = {f"self_attn.{n}_proj": (hidden, hidden) for n in "qkvo"} | {
        "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
    }  # fmt: skip
    pick = lambda shape, step: (rng.integers(-3, 4, shape) * step).astype(np.float32)
    return {
        f"language_model.model.layers.{i}.{name}": (pick((rank, columns), 1 / 16), pick((rows, rank), 1 / 16))
        for i in range(text["num_hidden_layers"])
        for name, (rows, columns) in shapes.items()
    }


def merged(weights: Weights, adapters: dict[str, tuple[np.ndarray, np.ndarray]], scale: float) -> Weights:
    """W + scale * BA."""
    result = dict(weights)
    for name, (a, b) in adapters.items():
        result[f"{name}.weight"] = weights[f"{name}.weight"] + np.float32(scale) * (b @ a)
    return result
