"""LLaVA-SP-Cropping in PyTorch. Module names spell the on-device tensor names, so exporting is a filter of the state dict.

Shapes: B images, P = grid * grid patches, C vision width, S spatial width, N spatial tokens, H decoder width, T positions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .quantise import fake_quantise


@dataclass(frozen=True)
class ModelConfig:
    image_size: int = 144
    patch_size: int = 12
    vision_width: int = 128
    vision_layers: int = 6
    vision_heads: int = 4
    vision_mlp: int = 512
    spatial_width: int = 64
    spatial_tokens: int = 6
    detail_kernel: int = 4
    detail_stride: int = 2
    width: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    mlp: int = 384
    vocab_size: int = 512
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    max_positions: int = 1024

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        return self.grid**2

    @property
    def visual_tokens(self) -> int:
        return self.spatial_tokens + self.patches

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


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


class VisionAttention(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.heads = c.vision_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, QuantLinear(c.vision_width, c.vision_width))

    def forward(self, x: Tensor) -> Tensor:
        b, t, w = x.shape
        q, k, v = (m(x).view(b, t, self.heads, -1).transpose(1, 2) for m in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, w))


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


# --- spatial features -------------------------------------------------------------------------------------------


class Detail(nn.Module):
    """DFI: the spatial features attend to the positions of one strided convolution (specification, section 4)."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        s = c.spatial_width
        self.kernel, self.stride = c.detail_kernel, c.detail_stride
        self.conv = QuantLinear(c.detail_kernel**2 * c.vision_width, s, bias=False)
        for name in ("query", "key", "value"):
            setattr(self, f"{name}_norm", nn.LayerNorm(s, eps=1e-5))
            setattr(self, f"{name}_proj", QuantLinear(s, s))

    def forward(self, grid: Tensor, f: Tensor) -> Tensor:
        n = (grid.shape[1] - self.kernel) // self.stride + 1
        span = self.stride * (n - 1) + 1
        slices = [
            grid[:, y : y + span : self.stride, x : x + span : self.stride]
            for y in range(self.kernel)
            for x in range(self.kernel)
        ]
        d = self.conv(torch.cat(slices, -1).flatten(1, 2))
        q = self.query_proj(self.query_norm(f))
        k = self.key_proj(self.key_norm(d))
        v = self.value_proj(self.value_norm(d))
        return torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, -1) @ v


class SpatialFeatures(nn.Module):
    """SFE by cropping: centred windows of growing side, each covered by its own convolution (section 3)."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.grid = c.grid
        self.kernels = [c.grid * i // c.spatial_tokens for i in range(1, c.spatial_tokens + 1)]
        for k in self.kernels:
            conv = QuantLinear(k * k * c.vision_width, c.spatial_width, bias=False)
            setattr(self, f"conv_{k}", conv)  # weight in the on-device order [S, k, k, C]
        self.detail = Detail(c)
        self.projector = QuantLinear(2 * c.spatial_width, c.width)

    def features(self, patches: Tensor) -> Tensor:
        """[B, P, C] to [B, N, 2S]: central region first."""
        b, _, c = patches.shape
        grid = patches.view(b, self.grid, self.grid, c)
        out = []
        for k in self.kernels:
            a = (self.grid - k) // 2
            out.append(getattr(self, f"conv_{k}")(grid[:, a : a + k, a : a + k].reshape(b, k * k * c)))
        f = torch.stack(out, 1)
        return torch.cat([f, self.detail(grid, f)], -1)


class Projector(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.linear_1 = QuantLinear(c.vision_width, c.width)
        self.linear_2 = QuantLinear(c.width, c.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(x)))


# --- decoder ----------------------------------------------------------------------------------------------------


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding with half-split pairs; x [B, heads, T, d], cos and sin [B, 1, T, d]."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class DecoderAttention(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dim = c.heads, c.kv_heads, c.width // c.heads
        self.q_proj = QuantLinear(c.width, c.heads * self.dim, bias=False)
        self.k_proj = QuantLinear(c.width, c.kv_heads * self.dim, bias=False)
        self.v_proj = QuantLinear(c.width, c.kv_heads * self.dim, bias=False)
        self.o_proj = QuantLinear(c.heads * self.dim, c.width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, cache: list | None, start: int, split: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Output for the positions from `start` on; those before `split` are causal, the others see what `mask` says."""
        b, t, _ = x.shape
        q = self.q_proj(x[:, start:]).view(b, t - start, self.heads, self.dim).transpose(1, 2)
        q = rotate(q, cos[:, :, start:], sin[:, :, start:])
        k = rotate(self.k_proj(x).view(b, t, self.kv_heads, self.dim).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.dim).transpose(1, 2)
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        repeat = self.heads // self.kv_heads
        wide_k, wide_v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        parts = []
        if start < split:
            head = (q[:, :, : split - start], wide_k[:, :, :split], wide_v[:, :, :split])
            parts.append(F.scaled_dot_product_attention(*head, is_causal=True))
        tail = q[:, :, max(0, split - start) :]
        parts.append(F.scaled_dot_product_attention(tail, wide_k, wide_v, attn_mask=mask))
        y = torch.cat(parts, 2) if len(parts) > 1 else parts[0]
        return self.o_proj(y.transpose(1, 2).reshape(b, t - start, -1)), q, wide_k


class DecoderMlp(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = QuantLinear(c.width, c.mlp, bias=False)
        self.up_proj = QuantLinear(c.width, c.mlp, bias=False)
        self.down_proj = QuantLinear(c.mlp, c.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c.width, eps=c.norm_eps)
        self.self_attn = DecoderAttention(c)
        self.post_attention_layernorm = nn.RMSNorm(c.width, eps=c.norm_eps)
        self.mlp = DecoderMlp(c)


class Decoder(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = QuantEmbedding(c.vocab_size, c.width)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)
        self.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.width, eps=c.norm_eps)


class LanguageModel(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.model = Decoder(c)
        dim = c.width // c.heads
        angles = torch.arange(c.max_positions)[:, None] * c.rope_theta ** (-torch.arange(0, dim, 2) / dim)
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor,
        caches: list[list] | None = None,
        split: int = 0,
        watch: int | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
        """Embeddings [B, T, H] and positions [B, T] to final states [B, T - split, H]; (q, k, input) of layer `watch` beside.

        The first `split` positions, the picture's, are causal among themselves and nobody asks for their final state, so
        the last layer computes only their keys and values. `mask` [B, 1, T - split, keys] is for the others.
        """
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        watched = None
        for i, layer in enumerate(self.model.layers):
            start = split if i == len(self.model.layers) - 1 else 0
            cache = caches[i] if caches else None
            y, q, k = layer.self_attn(layer.input_layernorm(x), cos, sin, mask, cache, start, split)
            if i == watch:
                watched = (q, k, x)
            x = x[:, start:] + y
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.model.norm(x), watched

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.model.embed_tokens.table())


# --- the whole --------------------------------------------------------------------------------------------------

PATCH_HEADS = {
    "object": 1, "centre": 1, "colour": 8, "shape": 8, "size": 3, "box": 4, "extreme": 6,
    "rank_x": 5, "rank_y": 5, "same_shape": 5, "same_colour": 5,
}  # fmt: skip
COUNT_HEADS = 1 + 8 + 8  # all objects, each colour, each shape: 0 to 5


class Auxiliary(nn.Module):
    """Dense heads that teach the vision side; dropped at export."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.patch = nn.Linear(c.vision_width, sum(PATCH_HEADS.values()))
        self.count = nn.Linear(c.spatial_tokens * 2 * c.spatial_width, COUNT_HEADS * 6)


class LlavaSp(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.config = c
        self.vision_tower = nn.Module()
        self.vision_tower.vision_model = VisionModel(c)
        self.spatial_features = SpatialFeatures(c)
        self.multi_modal_projector = Projector(c)
        self.language_model = LanguageModel(c)
        self.auxiliary = Auxiliary(c)

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, h, w] to patch features [B, P, C] and activated spatial features [B, N, 2S]."""
        patches = self.vision_tower.vision_model(pixels)
        return patches, F.gelu(self.spatial_features.features(patches))

    def visual_tokens(self, patches: Tensor, spatial: Tensor) -> Tensor:
        """[B, N + P, H], the spatial tokens first."""
        return torch.cat([self.spatial_features.projector(spatial), self.multi_modal_projector(patches)], 1)
