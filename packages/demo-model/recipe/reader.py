"""What is learned for each variant on the vision tower: spatial features, projector, decoder.

Module names spell the on-device tensor names, so exporting is a filter of the state dicts of tower and reader.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .decoder import LanguageModel
from .model import ModelConfig, Projector
from .spatial import SpatialFeatures
from .teaching import Teaching


class Reader(nn.Module):
    """One of the paper's models, or the baseline, from the patch features on."""

    def __init__(self, c: ModelConfig, variant: str) -> None:
        super().__init__()
        self.config, self.variant = c, variant
        self.multi_modal_projector = Projector(c)
        self.language_model = LanguageModel(c)
        self.teaching = Teaching(c)
        # Last, so that from one seed all variants start with the same decoder.
        self.spatial_features = None if variant == "baseline" else SpatialFeatures(c, variant)

    def picture(self, head: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings before the picture [h, H] and patch features [B, P, C] to the picture part of the sequence, the
        spatial tokens before the patches' [B, h + N + P, H]; the patch tokens [B, P, H] beside."""
        tokens = self.multi_modal_projector(patches)
        parts = [head.expand(len(patches), -1, -1)]
        if self.spatial_features:
            parts.append(self.spatial_features(patches))
        return torch.cat([*parts, tokens], 1), tokens
