"""What computes, and in which precision."""

from __future__ import annotations

import os
from functools import cache

import torch


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def has_half() -> bool:
    """Whether products of bfloat16 matrices are the faster ones: on a GPU, and on a CPU with AMX, where they are four
    times as fast."""
    return torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()


def half_precision() -> torch.autocast:
    """bfloat16 for what may have it, where it is faster."""
    return torch.autocast(device().type, torch.bfloat16, enabled=has_half())
