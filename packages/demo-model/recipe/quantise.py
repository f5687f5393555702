"""MLX's affine quantisation: w = scale * code + bias per group along the input axis, scale and bias in half precision."""

from __future__ import annotations

import torch
from torch import Tensor


def affine_codes(weight: Tensor, bits: int, group: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes [out, in / group, group] (float), scales and biases [out, in / group, 1] rounded to float16's values."""
    top = float(2**bits - 1)
    w = weight.detach().float().reshape(weight.shape[0], -1, group)
    low, high = w.amin(-1, keepdim=True), w.amax(-1, keepdim=True)
    negative = low.abs() > high.abs()
    scale = ((high - low) / top).clamp_min(1e-7)
    scale = torch.where(negative, scale, -scale)
    edge = torch.where(negative, low, high)
    zero = torch.round(edge / scale)  # the code distance of zero, so that zero is exact
    scale = torch.where(zero != 0, edge / torch.where(zero != 0, zero, torch.ones_like(zero)), scale)
    bias = torch.where(zero != 0, edge, torch.zeros_like(edge))
    scale, bias = scale.half().float(), bias.half().float()
    scale = torch.where(scale == 0, torch.full_like(scale, 6e-8), scale)
    codes = torch.round((w - bias) / scale).clamp_(0, top)
    return codes, scale, bias


def dequantise(codes: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return (codes * scale + bias).reshape(codes.shape[0], -1)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, bits: int, group: int) -> Tensor:  # type: ignore[override]
        return dequantise(*affine_codes(weight, bits, group)).reshape(weight.shape)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return grad, None, None


def fake_quantise(weight: Tensor, bits: int, group: int) -> Tensor:
    """The weight as it ships; the gradient passes straight through."""
    return _StraightThrough.apply(weight, bits, group)


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes [out, in / group, group] to int32 words [out, in * bits / 32], the lowest bits first."""
    per_word = 32 // bits
    c = codes.to(torch.int64).reshape(codes.shape[0], -1, per_word)
    words = (c << (torch.arange(per_word) * bits)).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
