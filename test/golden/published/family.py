"""The reference for the rest of the family: Hugging Face's SiglipVisionModel, InternVLVisionModel and Qwen2, PyTorch's
nn.Transformer, and plain transcriptions of pixel shuffle and of the order of a tiled picture's tokens.

``stages`` gives what a golden folder holds. A tiled model's stages carry the tiles in front: ``pixels`` [T, 3, S, S],
``vision.hidden_states.{i}`` [T, rows, C], ``spatial.{i}`` [T, S]; otherwise they are those of ../README.md.
"""

import math

import reference
import torch
import torch.nn.functional as F
from reference import Float64RMSNorm, Float64Rotary, Stages, under
from tiny import kernels
from torch import Tensor
from transformers import (
    InternVLVisionConfig,
    InternVLVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

# On-device name -> Hugging Face's, for the two spellings that differ by more than a prefix.
INTERN_NAMES = (
    ("embeddings.class_embedding", "embeddings.cls_token"),
    ("embeddings.patch_embedding.", "embeddings.patch_embeddings.projection."),
    ("embeddings.position_embedding.weight", "embeddings.position_embeddings"),
    ("encoder.layers.", "encoder.layer."),
    (".layer_norm1.", ".layernorm_before."),
    (".layer_norm2.", ".layernorm_after."),
    (".self_attn.out_proj.", ".attention.projection_layer."),
    (".self_attn.", ".attention."),
)
INTERN_EXTRA_AXES = ("embeddings.cls_token", "embeddings.position_embeddings")
PARTS = ("q", "k", "v")


def intern_vit_name(name: str) -> str:
    for ours, theirs in INTERN_NAMES:
        name = name.replace(ours, theirs)
    return name


def intern_vit_config(vision: dict) -> InternVLVisionConfig:
    return InternVLVisionConfig(
        hidden_size=vision["hidden_size"],
        intermediate_size=vision["intermediate_size"],
        num_hidden_layers=vision["num_hidden_layers"],
        num_attention_heads=vision["num_attention_heads"],
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        attention_bias=vision["qkv_bias"],
        use_qk_norm=vision["qk_normalization"],
        layer_norm_eps=vision["layer_norm_eps"],
        layer_scale_init_value=1.0,
        attn_implementation="sdpa",
    )


def without_casts(model: torch.nn.Module, head_dim: int | None, theta: float) -> None:
    """Replaces the modules that compute in float32 whatever they are given."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                setattr(parent, name, Float64RMSNorm(child))
            if type(child).__name__.endswith("RotaryEmbedding"):
                setattr(parent, name, Float64Rotary(head_dim, theta))


def hidden_states(config: dict, w: dict[str, Tensor], tile: Tensor) -> list[Tensor]:
    """The input of layer 0, 1, ... up to the selected state, each [rows, C]."""
    vision = {k: v for k, v in config["vision_config"].items() if k != "model_type"}
    kind, layer = config["vision_config"]["model_type"], config["vision_feature_layer"]
    if kind == "clip_vision_model":
        stages = reference.vision(config, w, tile)
        return [v for k, v in stages.items() if k.startswith("vision.hidden_states.")]
    own = under(w, "vision_tower.vision_model.")
    if kind == "siglip_vision_model":
        settings = SiglipVisionConfig(**vision, vision_use_head=False, attn_implementation="sdpa")
        model = SiglipVisionModel(settings).to(tile.dtype).eval()
    else:
        model = InternVLVisionModel(intern_vit_config(vision)).to(tile.dtype).eval()
        own = {intern_vit_name(k): v for k, v in own.items()}
        for name in INTERN_EXTRA_AXES:
            own[name] = own[name].reshape(1, -1, vision["hidden_size"])
    missing, unexpected = model.load_state_dict(own, strict=False)
    last = f"encoder.layers.{vision['num_hidden_layers'] - 1}."
    # LayerScale is folded: ones, as built. InternViT takes part whole.
    fine = ("post_layernorm.", "layernorm.") if layer == -1 else ("post_layernorm.", last)
    assert not unexpected and all(k.startswith(fine) or ".lambda_" in k for k in missing), (missing, unexpected)
    if tile.dtype == torch.float64:
        without_casts(model, None, 0)
    states = model(pixel_values=tile[None], output_hidden_states=True).hidden_states
    return [s[0] for s in states[: len(states) + layer + 1]]


def transformer(config: dict, w: dict[str, Tensor], k: int, tokens: Tensor) -> Tensor:
    """One learned query that reads a map of k*k tokens: [C]. torch.nn.Transformer, pre-norm, without biases."""
    settings, own = config["spatial_config"]["transformer"], under(w, f"spatial_features.transformer_{k}.")
    model = torch_transformer(tokens.shape[-1], settings).to(tokens.dtype).eval()
    model.load_state_dict(torch_names(own, settings["layers"]), strict=True)
    return model(tokens[None], own["query.weight"][None])[0, 0]


def torch_transformer(width: int, settings: dict) -> torch.nn.Transformer:
    return torch.nn.Transformer(
        d_model=width,
        nhead=settings["heads"],
        num_encoder_layers=settings["layers"],
        num_decoder_layers=settings["layers"],
        dim_feedforward=settings["mlp"],
        dropout=0.0,
        batch_first=True,
        norm_first=True,
        bias=False,
    )


def torch_names(own: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """On-device names -> torch.nn.Transformer's (q, k and v fused)."""
    state = {}
    for side, kinds in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "cross_attn"))):
        state[f"{side}.norm.weight"] = own[f"{side}.norm.weight"]
        for j in range(layers):
            layer = f"{side}.layers.{j}"
            for kind in kinds:
                theirs = f"{layer}.{'multihead_attn' if kind == 'cross_attn' else 'self_attn'}"
                state[f"{theirs}.in_proj_weight"] = torch.cat([own[f"{layer}.{kind}.{p}_proj.weight"] for p in PARTS])
                state[f"{theirs}.out_proj.weight"] = own[f"{layer}.{kind}.out_proj.weight"]
            for name in ("linear1", "linear2", "norm1", "norm2", "norm3")[: 4 if side == "encoder" else 5]:
                state[f"{layer}.{name}.weight"] = own[f"{layer}.{name}.weight"]
    return state


def spatial(config: dict, w: dict[str, Tensor], features: Tensor) -> Stages:
    settings = config["spatial_config"]
    if "extractor" not in settings:
        return reference.spatial(config, w, features, kernels(config))
    side = math.isqrt(features.shape[0])
    grid = features.T.reshape(-1, side, side)
    cut = reference.crop_map if settings["type"] == "cropping" else reference.pool_map
    maps = [(k, cut(grid, k).flatten(1).T) for k in kernels(config)]
    stages = {f"spatial.{i}": transformer(config, w, k, tokens) for i, (k, tokens) in enumerate(maps)}
    return stages | {"spatial.output": torch.stack(list(stages.values()))}


def pixel_shuffle(features: Tensor) -> Tensor:
    """[G*G, C] -> [G*G/4, 4C]: each token is a square of four patches, row by row."""
    side = math.isqrt(features.shape[0])
    squares = features.reshape(side // 2, 2, side // 2, 2, -1).permute(0, 2, 1, 3, 4)
    return squares.reshape(side * side // 4, -1)


def patch_tokens(config: dict, w: dict[str, Tensor], features: Tensor) -> Tensor:
    if "downsample_ratio" not in config:
        return reference.visual_tokens(w, features, None)
    x = pixel_shuffle(features)
    p = "multi_modal_projector."
    x = F.layer_norm(x, x.shape[-1:], w[f"{p}norm.weight"], w[f"{p}norm.bias"], eps=1e-5)
    return reference.visual_tokens(w, x, None)


def unpad(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Cuts from [rows, columns, H] what the padding of a picture of ``size`` (height, width) covered."""
    height, width = size
    rows, columns = grid.shape[:2]
    if width / height > columns / rows:
        cut = (rows - int(round(height * (columns / width), 7))) // 2
        return grid[cut : rows - cut]
    cut = (columns - int(round(width * (rows / height), 7))) // 2
    return grid[:, cut : columns - cut]


def pack(config: dict, w: dict[str, Tensor], patches: list[Tensor], layout: dict) -> Tensor:
    """The patch tokens of all tiles in the prompt's order. ``layout``: tile rows and columns, and the picture's size."""
    if config["image_aspect_ratio"] != "anyres":
        return torch.cat(patches)
    side = math.isqrt(patches[0].shape[0])
    rows, columns = layout["grid"]
    tiles = torch.stack(patches[1:]).reshape(rows, columns, side, side, -1)
    grid = tiles.permute(0, 2, 1, 3, 4).reshape(rows * side, columns * side, -1)
    grid = unpad(grid, layout["size"])
    newline = w["image_newline.weight"].expand(grid.shape[0], 1, -1)
    return torch.cat([patches[0], torch.cat([grid, newline], dim=1).flatten(0, 1)])


def stages(config: dict, w: dict[str, Tensor], pixels: Tensor, layout: dict) -> Stages:
    """pixels [T, 3, S, S] -> every stage up to ``visual_tokens`` [V, H]: the spatial tokens of every tile first."""
    class_token = config["vision_config"]["model_type"] != "siglip_vision_model"
    per_tile: list[Stages] = []
    patches, spatial_tokens = [], []
    for tile in pixels:
        states = hidden_states(config, w, tile)
        own = {f"vision.hidden_states.{i}": s for i, s in enumerate(states)}
        own["vision.features"] = states[-1][int(class_token) :]
        patches.append(patch_tokens(config, w, own["vision.features"]))
        if config["spatial_config"] is not None:
            own |= spatial(config, w, own["vision.features"])
            spatial_tokens.append(reference.spatial_tokens(w, own.pop("spatial.output")))
        per_tile.append(own)
    tokens = torch.cat([*spatial_tokens, pack(config, w, patches, layout)])
    tiled = layout["tiled"]
    joined = {k: torch.stack([t[k] for t in per_tile]) if tiled else per_tile[0][k] for k in per_tile[0]}
    return joined | {"visual_tokens": tokens}


def language(config: dict, w: dict[str, Tensor], dtype: torch.dtype) -> LlamaForCausalLM | Qwen2ForCausalLM:
    text = config["text_config"]
    if text["model_type"] == "llama":
        return reference.llama(config, w, dtype)
    settings = {k: v for k, v in text.items() if k not in ("model_type", "rope_theta", "attention_bias")}
    rope = {"rope_type": "default", "rope_theta": text["rope_theta"]}
    model = Qwen2ForCausalLM(Qwen2Config(**settings, rope_parameters=rope, attn_implementation="sdpa"))
    state = under(w, "language_model.")
    if text["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = model.to(dtype).eval()
    model.load_state_dict(state, strict=True)
    if dtype == torch.float64:
        without_casts(model, text["hidden_size"] // text["num_attention_heads"], text["rope_theta"])
    return model
