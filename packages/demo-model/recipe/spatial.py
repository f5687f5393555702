"""Spatial features, SFE and DFI, of the paper's two models (specification, sections 3 to 5).

Shapes: B images, P = grid * grid patches, C vision width, S spatial width, N spatial tokens, H decoder width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import ModelConfig, QuantLinear

# The paper's two models and the same without spatial tokens, which is LLaVA-1.5.
VARIANTS = ("cropping", "pooling", "baseline")


class Detail(nn.Module):
    """DFI: the spatial features attend to the positions of one strided convolution."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        s = c.spatial_width
        self.kernel, self.stride = c.detail_kernel, c.detail_stride
        self.conv = QuantLinear(c.detail_kernel**2 * c.vision_width, s, bias=False)
        for name in ("query", "key", "value"):
            setattr(self, f"{name}_norm", nn.LayerNorm(s, eps=1e-5))
            setattr(self, f"{name}_proj", QuantLinear(s, s))

    def forward(self, grid: Tensor, f: Tensor) -> Tensor:
        """Grid [B, G, G, C] and features [B, N, S] to [B, N, S]."""
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
    """SFE: centred windows (cropping) or averages of the whole (pooling) of growing side, each covered by its own
    convolution. Cropping has the DFI beside it, pooling has not, as published."""

    def __init__(self, c: ModelConfig, variant: str) -> None:
        super().__init__()
        self.grid, self.cropping = c.grid, variant == "cropping"
        self.kernels = [c.grid * i // c.spatial_tokens for i in range(1, c.spatial_tokens + 1)]
        for k in self.kernels:
            conv = QuantLinear(k * k * c.vision_width, c.spatial_width, bias=False)
            setattr(self, f"conv_{k}", conv)  # weight in the on-device order [S, k, k, C]
        if self.cropping:
            self.detail = Detail(c)
        self.projector = QuantLinear((1 + self.cropping) * c.spatial_width, c.width, bias=self.cropping)

    def window(self, grid: Tensor, k: int) -> Tensor:
        """Grid [B, G, G, C] to the map of side k, [B, k * k * C]."""
        if self.cropping:
            a = (self.grid - k) // 2
            return grid[:, a : a + k, a : a + k].flatten(1)
        return F.adaptive_avg_pool2d(grid.permute(0, 3, 1, 2), k).permute(0, 2, 3, 1).flatten(1)

    def forward(self, patches: Tensor) -> Tensor:
        """[B, P, C] to the spatial tokens [B, N, H]: central region first, or the most abstract."""
        grid = patches.unflatten(1, (self.grid, self.grid))
        f = torch.stack([getattr(self, f"conv_{k}")(self.window(grid, k)) for k in self.kernels], 1)
        if self.cropping:
            f = torch.cat([f, self.detail(grid, f)], -1)
        return self.projector(F.gelu(f))
