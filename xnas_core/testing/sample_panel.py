"""Made-up attribution panels as PNG, written with zlib alone, so that samples need no imaging library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

_TILE = 56
_COLUMNS = 10


def panel(seed: int) -> bytes:
    """Return a PNG of two rows of ten tiles: blobs, as an image might show, and below them their heat maps."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:_TILE, 0:_TILE] / _TILE
    image = np.full((2 * _TILE + 12, _COLUMNS * (_TILE + 4) + 4, 3), 255, dtype=np.uint8)
    for column in range(_COLUMNS):
        shape = np.zeros((_TILE, _TILE))
        for _ in range(3):
            cx, cy, r = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.08, 0.2)
            shape = np.maximum(shape, np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * r * r)))
        left = 4 + column * (_TILE + 4)
        grey = np.repeat((255 * shape)[..., None], 3, axis=2)
        heat = np.stack([255 * shape, 190 * shape**2, 120 * (1 - shape)], axis=2)
        image[4 : 4 + _TILE, left : left + _TILE] = grey.astype(np.uint8)
        image[8 + _TILE : 8 + 2 * _TILE, left : left + _TILE] = heat.astype(np.uint8)
    return png(image)


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) uint8 image as a PNG file (RFC 2083, no filter)."""
    height, width, _ = image.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, width * 3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    )
