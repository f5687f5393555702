"""The model's sizes, its vision tower and projector in PyTorch; spatial.py and decoder.py hold the rest.

Module names spell the on-device tensor names, so exporting is a filter of the state dicts. Shapes: B images, P =
grid * grid patches, C vision width, H decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .quantise import fake_quantise


@dataclass(frozen=True)
class ModelConfig:
    image_size: int = 192
    patch_size: int = 16
    vision_width: int = 256
    vision_layers: int = 6
    vision_heads: int = 4
    vision_mlp: int = 1024
    spatial_width: int = 64
    spatial_tokens: int = 6
    detail_kernel: int = 4
    detail_stride: int = 2
    width: int = 192
    layers: int = 5
    heads: int = 6
    kv_heads: int = 2
    mlp: int = 448
    vocab_size: int = 2048
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    max_positions: int = 1024

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        return self.grid**2


# For two CPU cores, and for one graphics card.
SIZES = {
    "cpu": ModelConfig(),
    "gpu": ModelConfig(
        image_size=336, patch_size=14, vision_width=384, vision_layers=12, vision_heads=6, vision_mlp=1536,
        spatial_width=128, detail_kernel=16, width=512, layers=8, heads=16, kv_heads=4, mlp=1376,
    ),
}  # fmt: skip


class QuantLinear(nn.Linear):
    """A linear layer whose weight can pass through fake quantisation (straight-through gradient)."""

    bits = 0
    group = 32

    def used(self) -> Tensor:
        return fake_quantise(self.weight, self.bits, self.group) if self.bits else self.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.used(), self.bias)


class QuantEmbedding(nn.Embedding):
    """The token table, also used as the output head (tied)."""

    bits = 0
    group = 32

    def table(self) -> Tensor:
        return fake_quantise(self.weight, self.bits, self.group) if self.bits else self.weight

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.table())


# --- vision -----------------------------------------------------------------------------------------------------


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of q [B, heads, T, d] over k and v [B, KV heads, n, d]; `mask` is added to the scores.

    On a CPU in plain products: PyTorch's fused one takes five times as long there in bfloat16, backwards above all.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    b, heads, t, d = q.shape
    shared = (b, k.shape[1], heads // k.shape[1] * t)  # queries that share a KV head lie in one matrix
    scores = ((q * d**-0.5).reshape(*shared, d) @ k.transpose(2, 3)).view(b, heads, t, -1)
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    weights = torch.softmax(scores, -1, scores.dtype)
    return (weights.view(*shared, -1) @ v).view(b, heads, t, d)


class VisionAttention(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.heads = c.vision_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, QuantLinear(c.vision_width, c.vision_width))

    def forward(self, x: Tensor) -> Tensor:
        b, t, w = x.shape
        q, k, v = (m(x).view(b, t, self.heads, -1).transpose(1, 2) for m in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(attend(q, k, v).transpose(1, 2).reshape(b, t, w))


class VisionMlp(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.fc1 = QuantLinear(c.vision_width, c.vision_mlp)
        self.fc2 = QuantLinear(c.vision_mlp, c.vision_width)

    def forward(self, x: Tensor) -> Tensor:
        # quick-GELU, h * sigmoid(1.702 h) = silu(1.702 h) / 1.702, with both factors moved into the small weights.
        h = F.silu(F.linear(x, self.fc1.used() * 1.702, self.fc1.bias * 1.702))
        return F.linear(h, self.fc2.used() / 1.702, self.fc2.bias)


class VisionLayer(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(c.vision_width, eps=1e-5)
        self.self_attn = VisionAttention(c)
        self.layer_norm2 = nn.LayerNorm(c.vision_width, eps=1e-5)
        self.mlp = VisionMlp(c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionEmbeddings(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.patch = c.patch_size
        self.class_embedding = nn.Parameter(torch.randn(c.vision_width) * 0.02)
        self.patch_embedding = nn.Conv2d(3, c.vision_width, c.patch_size, c.patch_size, bias=False)
        self.position_embedding = nn.Embedding(c.patches + 1, c.vision_width)
        nn.init.normal_(self.position_embedding.weight, std=0.1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, h, w] to [B, 1 + P, C]."""
        b, p = pixels.shape[0], self.patch
        n = pixels.shape[-1] // p
        tiles = pixels.view(b, 3, n, p, n, p).permute(0, 2, 4, 1, 3, 5).reshape(b, n * n, 3 * p * p)
        x = F.linear(tiles, self.patch_embedding.weight.flatten(1))
        x = torch.cat([self.class_embedding.expand(b, 1, -1), x], 1)
        return x + self.position_embedding.weight


class VisionModel(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embeddings = VisionEmbeddings(c)
        self.pre_layrnorm = nn.LayerNorm(c.vision_width, eps=1e-5)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer(c) for _ in range(c.vision_layers))

    def forward(self, pixels: Tensor) -> Tensor:
        """The output of the last layer without the class token, [B, P, C]."""
        x = self.pre_layrnorm(self.embeddings(pixels))
        for layer in self.encoder.layers:
            x = layer(x)
        return x[:, 1:]


# --- projector ---------------------------------------------------------------------------------------------------


class Projector(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.linear_1 = QuantLinear(c.vision_width, c.width)
        self.linear_2 = QuantLinear(c.width, c.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(x)))
