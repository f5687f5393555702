"""Reading the weights of an on-device folder back, as far as their bits allow: a training can begin where the model that
ships ended."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor


def unpack(words: np.ndarray, bits: int) -> np.ndarray:
    """uint32 words [out, in * bits / 32] to codes [out, in], the lowest bits first."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    return ((words[..., None] >> shifts) & np.uint32(2**bits - 1)).reshape(len(words), -1)


def read(folder: Path, *parts: str) -> dict[str, Tensor]:
    """The weights whose names begin with one of `parts`, float32."""
    index = folder / "model.safetensors.index.json"
    files = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
    stored: dict[str, np.ndarray] = {}
    for file in files:
        stored |= load_file(str(folder / file))
    out: dict[str, Tensor] = {}
    for name, value in stored.items():
        layer, _, kind = name.rpartition(".")
        if not name.startswith(parts) or kind in ("scales", "biases"):
            continue
        if f"{layer}.scales" in stored and kind == "weight":
            scales, biases = (stored[f"{layer}.{k}"].astype(np.float32) for k in ("scales", "biases"))
            group, bits = _layout(folder, layer)
            assert value.shape[1] * 32 // bits == scales.shape[1] * group, name
            codes = unpack(value, bits).reshape(*scales.shape, group)
            value = (codes * scales[..., None] + biases[..., None]).reshape(len(value), -1)
        out[name] = torch.from_numpy(value.astype(np.float32))
    return out


def _layout(folder: Path, layer: str) -> tuple[int, int]:
    """Group and bits of a quantised layer."""
    settings = json.loads((folder / "config.json").read_text())["quantization"]
    own = settings.get(layer)
    chosen = own if isinstance(own, dict) else settings
    return chosen["group_size"], chosen["bits"]
