"""The decoder (LLaMA style) over pictures and the questions about them.

Training sees a picture once and many questions about it. Each question sees the picture and itself alone, so
nothing else is computed: the picture's P positions are causal among themselves; questions lie in rows of L
positions, a row of one picture, and a row's keys are its picture's and its own. Shapes: B pictures, N rows, H
width, d the width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import ModelConfig, QuantEmbedding, QuantLinear, attend


@dataclass
class Rows:
    """What every layer needs to know of the rows."""

    pictures: int
    length: int  # P
    of: list[int]  # rows of each picture, one picture's after the other's
    mask: Tensor  # [N, 1, L, P + L], added to the scores
    picture_mask: Tensor  # [P, P]: causal
    cos: Tensor  # [B P + N L, 1, d]
    sin: Tensor

    @property
    def start(self) -> int:
        """Where the rows begin among the flat positions: pictures first."""
        return self.pictures * self.length


@dataclass
class Watched:
    """What the teaching losses look at in one layer."""

    entering: Tensor  # [N L, H], the rows' states before it
    queries: Tensor  # [N L, heads, d]
    picture_keys: Tensor  # [B, P, KV heads, d]
    row_keys: Tensor  # [N, L, KV heads, d]


class _Rotate(torch.autograd.Function):
    """Its gradient is the rotation back: a third of the passes over memory that autograd would take."""

    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(cos, sin)
        half = x.shape[-1] // 2
        y = x * cos  # in float32, whatever x is
        y[..., :half].addcmul_(x[..., half:], sin[..., half:], value=-1)
        y[..., half:].addcmul_(x[..., :half], sin[..., half:])
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        cos, sin = ctx.saved_tensors
        return _Rotate.apply(grad, cos, -sin), None, None


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding with half-split pairs; x [positions, heads, d]."""
    return _Rotate.apply(x, cos, sin)


class _RmsNorm(torch.autograd.Function):
    """PyTorch has no fused one for a CPU. Its result has the dtype that products take, so that it is converted once,
    not once for each of them."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:  # type: ignore[override]
        scale = (torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_() / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        x, weight, scale = ctx.saved_tensors
        grad, y = grad.float(), x * scale
        weights = (grad * y).sum(0)
        inner = grad * weight
        along = torch.linalg.vecdot(inner, y)[:, None] / x.shape[-1]
        return inner.addcmul_(y, along, value=-1).mul_(scale), weights, None, None


class RmsNorm(nn.Module):
    """x [positions, H]."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c.width))
        self.eps = c.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        half = torch.is_autocast_enabled(kind)
        return _RmsNorm.apply(x, self.weight, self.eps, torch.get_autocast_dtype(kind) if half else x.dtype)


def heads_together(y: Tensor) -> Tensor:
    """[b, heads, positions, d] to the flat [b * positions, heads * d]."""
    return y.transpose(1, 2).flatten(2).flatten(0, 1)


def spread(x: Tensor, counts: list[int]) -> Tensor:
    """Each picture's x [B, ...] for each of its rows, [N, ...]. (An index would sum its gradient element by
    element.)"""
    return torch.cat([one.expand(n, *one.shape[1:]) for one, n in zip(x.split(1), counts)])


class DecoderAttention(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dim = c.heads, c.kv_heads, c.width // c.heads
        self.q_proj = QuantLinear(c.width, c.heads * self.dim, bias=False)
        self.k_proj = QuantLinear(c.width, c.kv_heads * self.dim, bias=False)
        self.v_proj = QuantLinear(c.width, c.kv_heads * self.dim, bias=False)
        self.o_proj = QuantLinear(c.heads * self.dim, c.width, bias=False)

    def forward(self, x: Tensor, rows: Rows, whole: bool) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """x [positions, H] to heads [positions, heads * d]; of the rows alone unless `whole`. Queries and keys
        beside."""
        start, n = rows.start, sum(rows.of)
        q = self.q_proj(x if whole else x[start:]).view(-1, self.heads, self.dim)
        skipped = 0 if whole else start
        q = rotate(q, rows.cos[skipped:], rows.sin[skipped:])
        k = rotate(self.k_proj(x).view(-1, self.kv_heads, self.dim), rows.cos, rows.sin)
        v = self.v_proj(x).view(-1, self.kv_heads, self.dim)
        of_picture = [t[:start].view(rows.pictures, rows.length, *t.shape[1:]) for t in (k, v)]
        of_rows = [t[start:].view(n, -1, *t.shape[1:]) for t in (k, v)]
        both = [torch.cat([spread(a, rows.of), b], 1) for a, b in zip(of_picture, of_rows)]
        asking = q[start - skipped :]
        y = heads_together(attend(*(t.transpose(1, 2) for t in (asking.view(n, -1, *q.shape[1:]), *both)), rows.mask))
        if whole:
            own = q[:start].view(rows.pictures, -1, *q.shape[1:])
            seen = attend(*(t.transpose(1, 2) for t in (own, *of_picture)), rows.picture_mask)
            y = torch.cat([heads_together(seen), y])
        return y, (asking, of_picture[0], of_rows[0])


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
        self.input_layernorm = RmsNorm(c)
        self.self_attn = DecoderAttention(c)
        self.post_attention_layernorm = RmsNorm(c)
        self.mlp = DecoderMlp(c)


class Decoder(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = QuantEmbedding(c.vocab_size, c.width)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)
        self.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c.layers))
        self.norm = RmsNorm(c)


class LanguageModel(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.model = Decoder(c)
        dim = c.width // c.heads
        angles = torch.arange(c.max_positions)[:, None] * c.rope_theta ** (-torch.arange(0, dim, 2) / dim)
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def rows(self, of: list[int], length: int, segment: Tensor, position: Tensor) -> Rows:
        """`segment` [N, L] numbers the questions of a row (below 0: padding), `position` [N, L] counts from the
        picture's end."""
        n, row = segment.shape
        pictures = len(of)
        causal = torch.ones(row, row, dtype=torch.bool, device=segment.device).tril()
        own = causal & (segment[:, :, None] == segment[:, None])
        mask = self.cos.new_zeros(n, 1, row, length + row)
        mask[:, 0, :, length:].masked_fill_(~own, -torch.inf)
        picture_mask = self.cos.new_full((length, length), -torch.inf).triu(1)
        at = torch.cat([torch.arange(length, device=segment.device).repeat(pictures), (length + position).flatten()])
        return Rows(pictures, length, of, mask, picture_mask, self.cos[at][:, None], self.sin[at][:, None])

    def forward(
        self, pictures: Tensor, questions: Tensor, rows: Rows, asked: Tensor, watch: tuple[int, ...] = ()
    ) -> tuple[Tensor, dict[int, Watched]]:
        """Pictures [B, P, H] and rows [N, L, H] to the final states of the flat row positions `asked`, [asked, H].

        Nobody asks for a final state elsewhere: the last layer computes keys and values of all, and the rest of those.
        """
        x = torch.cat([pictures.flatten(0, 1), questions.flatten(0, 1)])
        watched: dict[int, Watched] = {}
        for i, layer in enumerate(self.model.layers):
            last = i == len(self.model.layers) - 1
            y, (q, picture_keys, row_keys) = layer.self_attn(layer.input_layernorm(x), rows, not last)
            if i in watch:
                watched[i] = Watched(x[rows.start :], q, picture_keys, row_keys)
            if last:
                x, y = x.index_select(0, rows.start + asked), y.index_select(0, asked)
            x = x + layer.self_attn.o_proj(y)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.model.norm(x), watched
