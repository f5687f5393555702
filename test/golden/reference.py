"""The reference: Hugging Face's CLIPVisionModel and LlamaForCausalLM, and a plain PyTorch transcription of the
LLaVA-SP specification for what lies between them.

Everything runs in the dtype asked for. In float32 the Hugging Face modules are used as they are. In float64 two
of them would fall back to float32 inside (RMSNorm, and the rotary angles), so these two are replaced by the same
formulas without the fall-back.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from checkpoint import Weights, kernel_sizes

Stages = dict[str, Tensor]


def tensors(weights: Weights, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(w)).to(dtype) for name, w in weights.items()}


def under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


# --- vision: specification section 2 ------------------------------------------------------------------------------


def vision(config: dict, w: dict[str, Tensor], pixels: Tensor) -> Stages:
    """pixels [3, H, W] -> vision.hidden_states.{i} [P+1, C] (i = input of layer i; the last one is the selected
    layer's) and vision.features [P, C]."""
    settings = {k: v for k, v in config["vision_config"].items() if k != "model_type"}
    model = CLIPVisionModel(CLIPVisionConfig(**settings, attn_implementation="sdpa")).to(pixels.dtype).eval()
    missing, unexpected = model.load_state_dict(under(w, "vision_tower.vision_model."), strict=False)
    layer = config["vision_feature_layer"]
    last = f"encoder.layers.{settings['num_hidden_layers'] - 1}."
    unneeded = ("post_layernorm.",) if layer == -1 else ("post_layernorm.", last)
    assert not unexpected and all(name.startswith(unneeded) for name in missing), (missing, unexpected)
    states = model(pixel_values=pixels[None], output_hidden_states=True).hidden_states
    selected = len(states) + layer
    stages = {f"vision.hidden_states.{i}": states[i][0] for i in range(selected + 1)}
    stages["vision.features"] = states[layer][0, 1:]  # the class token is dropped
    return stages


# --- spatial features: sections 3 and 4 ---------------------------------------------------------------------------


def crop_map(grid: Tensor, k: int) -> Tensor:
    """The centred k x k window of [C, G, G]."""
    side = grid.shape[-1]
    start = (side - k) // 2
    return grid[:, start : start + k, start : start + k]


def pool_map(grid: Tensor, k: int) -> Tensor:
    """Adaptive average pool of [C, G, G] to [C, k, k]: the window of output j is floor(jG/k) .. ceil((j+1)G/k)."""
    side = grid.shape[-1]
    window = [(j * side // k, -((j + 1) * side // -k)) for j in range(k)]
    rows = [torch.stack([grid[:, y0:y1, x0:x1].mean(dim=(1, 2)) for x0, x1 in window], dim=-1) for y0, y1 in window]
    return torch.stack(rows, dim=1)


def layer_norm_linear(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Linear(LayerNorm(x)), eps 1e-5."""
    prefix = f"spatial_features.detail.{name}"
    norm = F.layer_norm(x, x.shape[-1:], w[f"{prefix}_norm.weight"], w[f"{prefix}_norm.bias"], eps=1e-5)
    return F.linear(norm, w[f"{prefix}_proj.weight"], w[f"{prefix}_proj.bias"])


def spatial(config: dict, w: dict[str, Tensor], features: Tensor, kernels: list[int] | None = None) -> Stages:
    """features [P, C] -> spatial.{i} [S], the DFI's stages, and spatial.output [N, S] or [N, 2S]. The maps' sides are
    the specification's unless given."""
    settings = config["spatial_config"]
    side = math.isqrt(features.shape[0])
    grid = features.T.reshape(-1, side, side)
    cut = crop_map if settings["type"] == "cropping" else pool_map
    stages: Stages = {}
    for i, k in enumerate(kernels or kernel_sizes(config)):
        # a bias-free convolution that covers its map whole: one vector of S
        vector = F.conv2d(cut(grid, k)[None], w[f"spatial_features.conv_{k}.weight"])
        stages[f"spatial.{i}"] = vector.reshape(-1)
    f = torch.stack(list(stages.values()))
    detail = settings["detail"]
    if detail is None:
        return stages | {"spatial.output": f}
    conv = F.conv2d(grid[None], w["spatial_features.detail.conv.weight"], stride=detail["stride"])[0]
    f_ms = conv.reshape(conv.shape[0], -1).T  # [positions, S], row by row
    q = layer_norm_linear(w, "query", f)
    k, v = layer_norm_linear(w, "key", f_ms), layer_norm_linear(w, "value", f_ms)
    attention = torch.softmax(q @ k.T / math.sqrt(q.shape[-1]), dim=-1)
    output = attention @ v
    stages |= {"detail.features": f_ms, "detail.attention": attention, "detail.output": output}
    return stages | {"spatial.output": torch.cat([f, output], dim=-1)}


# --- projectors and the sequence: section 5 -----------------------------------------------------------------------


def visual_tokens(w: dict[str, Tensor], features: Tensor, spatial_output: Tensor | None) -> Tensor:
    """[N+P, H]: the spatial tokens first, then the patch tokens. GELU is the exact (erf) form."""
    p = "multi_modal_projector.linear_"
    hidden = F.gelu(F.linear(features, w[f"{p}1.weight"], w[f"{p}1.bias"]))
    patches = F.linear(hidden, w[f"{p}2.weight"], w[f"{p}2.bias"])
    if spatial_output is None:
        return patches
    return torch.cat([spatial_tokens(w, spatial_output), patches])


def spatial_tokens(w: dict[str, Tensor], spatial_output: Tensor) -> Tensor:
    """[N, S] or [N, 2S] -> [N, H]."""
    s = "spatial_features.projector."
    return F.linear(F.gelu(spatial_output), w[f"{s}weight"], w.get(f"{s}bias"))


# --- language model: section 6 ------------------------------------------------------------------------------------


class Float64RMSNorm(torch.nn.Module):
    """LlamaRMSNorm's formula without its cast to float32."""

    def __init__(self, norm: LlamaRMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Float64Rotary(torch.nn.Module):
    """LlamaRotaryEmbedding's angles (half-split pairs) without its cast to float32."""

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        self.inverse = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angles = position_ids[..., None].to(torch.float64) * self.inverse
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def llama(config: dict, w: dict[str, Tensor], dtype: torch.dtype) -> LlamaForCausalLM:
    settings = {k: v for k, v in config["text_config"].items() if k not in ("model_type", "rope_theta")}
    theta = config["text_config"]["rope_theta"]
    rope = {"rope_type": "default", "rope_theta": theta}
    model = LlamaForCausalLM(LlamaConfig(**settings, rope_parameters=rope, attn_implementation="sdpa"))
    state = under(w, "language_model.")
    for i in range(settings["num_hidden_layers"] if settings["attention_bias"] else 0):
        # Hugging Face's flag gives o_proj a bias too; ours has none
        state[f"model.layers.{i}.self_attn.o_proj.bias"] = torch.zeros(settings["hidden_size"], dtype=dtype)
    if settings["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = model.to(dtype).eval()
    model.load_state_dict(state, strict=True)
    assert isinstance(model.model.rotary_emb, LlamaRotaryEmbedding)
    if dtype == torch.float64:
        head_dim = settings.get("head_dim", settings["hidden_size"] // settings["num_attention_heads"])
        model.model.rotary_emb = Float64Rotary(head_dim, theta)
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, LlamaRMSNorm):
                    setattr(parent, name, Float64RMSNorm(child))
    return model


def prompt_embeddings(model: LlamaForCausalLM, ids: list[int], image: int, visual: Tensor) -> Tensor:
    """[T, H]: the visual tokens in the place of the one image token."""
    at = ids.index(image)
    assert ids.count(image) == 1
    before, after = (model.model.embed_tokens(torch.tensor(part)) for part in (ids[:at], ids[at + 1 :]))
    return torch.cat([before, visual, after])


def decode(model: LlamaForCausalLM, embeddings: Tensor, steps: int, forced: list[int] | None = None):
    """Greedy tokens, logits [steps, V] (row t chose token t), and the prompt's hidden states. Yields nothing to the
    end-of-sequence token: a caller who wants all steps must see to it that it is never chosen. ``forced`` tokens
    are fed in place of the chosen ones."""
    out = model(inputs_embeds=embeddings[None], use_cache=True, output_hidden_states=True)
    hidden = {f"language.hidden_states.{i}": h[0] for i, h in enumerate(out.hidden_states[:-1])}
    hidden["language.norm"] = out.hidden_states[-1][0]
    tokens: list[int] = []
    rows: list[Tensor] = []
    while True:
        rows.append(out.logits[0, -1])
        tokens.append(int(rows[-1].argmax()))
        if len(tokens) == steps:
            return tokens, torch.stack(rows), hidden
        fed = forced[len(tokens) - 1] if forced else tokens[-1]
        out = model(input_ids=torch.tensor([[fed]]), past_key_values=out.past_key_values, use_cache=True)
