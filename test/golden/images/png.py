"""A plain PNG writer for the forms that Pillow reads but does not write (16-bit colour, Adam7, sub-byte grey)."""

import struct
import zlib

import numpy as np

COLOR_TYPE_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: (first column, first row, column step, row step) of each pass
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int, color_type: int, interlace: bool = False) -> bytes:
    ihdr = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlace))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr)


def _rows(samples: np.ndarray, depth: int) -> bytes:
    """Filter type 0 before each row; samples [height, width, channels] of ``depth`` bits, packed high bits first."""
    out = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            packed = row.astype(">u2").tobytes()
        elif depth == 8:
            packed = row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None].astype(np.uint8) >> np.arange(depth - 1, -1, -1)) & 1
            packed = np.packbits(bits.reshape(-1)).tobytes()
        out += b"\x00" + packed
    return out


def png(samples: np.ndarray, depth: int, color_type: int, interlace: bool = False, extra: bytes = b"") -> bytes:
    """The file for samples [height, width, channels]; ``extra`` holds whole chunks that stand before IDAT."""
    height, width, channels = samples.shape
    assert channels == COLOR_TYPE_CHANNELS[color_type]
    if interlace:
        passes = (samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7)
        raw = b"".join(_rows(p, depth) for p in passes if p.size)
    else:
        raw = _rows(samples, depth)
    body = extra + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    return header(width, height, depth, color_type, interlace) + body
