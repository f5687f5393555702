"""MLX's affine quantisation, in the layout of the specification's section 9.

For a weight [out, in] and a group of ``size`` along ``in``: ``w = scale*code + bias``, codes of ``bits`` bits packed
into uint32 with the lowest bits first. Scale and bias follow ``mx.quantize``: the edge of larger magnitude is met
exactly and zero is a code, so a scale may be negative. They are stored in float16, and the codes are chosen after
that rounding. Convolutions [S, C, k, k] are quantised in the order [S, k, k, C], as one row of k*k*C for each S.
"""

import numpy as np

from checkpoint import Weights

GROUP = 32
EIGHT_BIT = ("language_model.model.embed_tokens", "language_model.lm_head")


def affine(w: np.ndarray, size: int, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[out, in] -> uint32 [out, in*bits/32], float16 scales and biases [out, in/size]."""
    out, inner = w.shape
    groups = w.reshape(out, inner // size, size).astype(np.float64)
    top = 2**bits - 1
    low, high = groups.min(-1), groups.max(-1)
    low_is_larger = np.abs(low) > np.abs(high)
    scale = np.maximum((high - low) / top, 1e-7) * np.where(low_is_larger, 1, -1)
    edge = np.where(low_is_larger, low, high)
    zero = np.rint(edge / scale)
    scale = np.where(zero != 0, edge / np.where(zero != 0, zero, 1), scale)
    bias = np.where(zero != 0, edge, 0.0)
    scales, biases = scale.astype(np.float16), bias.astype(np.float16)
    codes = np.rint((groups - biases[..., None].astype(np.float64)) / scales[..., None].astype(np.float64))
    codes = codes.clip(0, top).astype(np.uint32).reshape(out, -1, 32 // bits)
    packed = np.bitwise_or.reduce(codes << (np.arange(32 // bits, dtype=np.uint32) * bits), axis=-1)
    return packed.astype(np.uint32), scales, biases


def expand(packed: np.ndarray, scales: np.ndarray, biases: np.ndarray, size: int, bits: int) -> np.ndarray:
    """The weights that the stored form stands for, float64 [out, in]."""
    shifts = np.arange(32 // bits, dtype=np.uint32) * bits
    codes = (packed[..., None] >> shifts) & np.uint32(2**bits - 1)
    codes = codes.reshape(packed.shape[0], -1, size).astype(np.float64)
    values = codes * scales[..., None].astype(np.float64) + biases[..., None].astype(np.float64)
    return values.reshape(packed.shape[0], -1)


def quantize(weights: Weights) -> tuple[Weights, Weights, dict[str, object]]:
    """The stored tensors, the weights they stand for (float64 where quantised), and config.json's entry."""
    stored: Weights = {}
    meant: Weights = {}
    entry: dict[str, object] = {"group_size": GROUP, "bits": 4}
    for name, w in weights.items():
        layer = name.removesuffix(".weight")
        embedding = ".embeddings." in name  # the vision tower's patches and positions stay as they are
        if not name.endswith(".weight") or w.ndim < 2 or embedding:
            stored[name] = meant[name] = w
            if name.endswith(".weight") and embedding:
                entry[layer] = False
            continue
        bits = 8 if layer in EIGHT_BIT else 4
        if bits == 8:
            entry[layer] = {"group_size": GROUP, "bits": 8}
        channels_last = w.transpose(0, 2, 3, 1) if w.ndim == 4 else w
        packed, scales, biases = affine(channels_last.reshape(w.shape[0], -1), GROUP, bits)
        stored |= {name: packed, f"{layer}.scales": scales, f"{layer}.biases": biases}
        values = expand(packed, scales, biases, GROUP, bits).reshape(channels_last.shape)
        meant[name] = values.transpose(0, 3, 1, 2) if w.ndim == 4 else values
    return stored, meant, entry
