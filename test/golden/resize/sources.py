"""Source pictures that any language can make again from a few integers.

Three patterns, all 8-bit RGB, row-major, three bytes a pixel, top-left first:

- ``noise``:  xorshift32, one step for each byte, the byte is the state's top eight bits.
- ``binary``: the same steps, the byte is 255 where the state's top bit is set and 0 elsewhere. Bicubic
  weights overshoot at such edges, so this one reaches the clip at both ends.
- ``ramp``:   no state: R = (5x + 3y) mod 256, G = (2x + 7y + 85) mod 256, B = (x*y) mod 256.

One step of xorshift32, on unsigned 32-bit state that starts at the case's ``seed`` (never 0):
``s ^= s << 13; s ^= s >> 17; s ^= s << 5``. The state is stepped before each byte.
"""

import numpy as np

MASK = 0xFFFFFFFF


def xorshift_tops(seed: int, count: int) -> bytes:
    """The top byte of each of ``count`` successive states."""
    assert 0 < seed <= MASK
    out = bytearray(count)
    s = seed
    for i in range(count):
        s ^= (s << 13) & MASK
        s ^= s >> 17
        s ^= (s << 5) & MASK
        out[i] = s >> 24
    return bytes(out)


def source(pattern: str, seed: int, width: int, height: int) -> np.ndarray:
    """The picture as uint8 [height, width, 3]."""
    if pattern == "ramp":
        y, x = np.mgrid[0:height, 0:width].astype(np.int64)
        return np.stack([5 * x + 3 * y, 2 * x + 7 * y + 85, x * y], axis=-1).astype(np.uint8)
    tops = np.frombuffer(xorshift_tops(seed, width * height * 3), np.uint8).reshape(height, width, 3)
    if pattern == "noise":
        return tops.copy()
    if pattern == "binary":
        return np.where(tops >= 128, 255, 0).astype(np.uint8)
    raise ValueError(pattern)
