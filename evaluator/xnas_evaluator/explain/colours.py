"""Colours of attribution maps: dark blue - near white - dark orange.

Blue and orange are told apart with every common colour vision deficiency, and both halves grow steadily darker
away from zero, so the map survives a grey printer too (which half it is, does not).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NEGATIVE = np.array([[247, 247, 247], [166, 189, 219], [67, 130, 186], [5, 48, 97]], dtype=np.float64)
_POSITIVE = np.array([[247, 247, 247], [253, 184, 99], [224, 110, 20], [110, 45, 5]], dtype=np.float64)


def _ramp(anchors: npt.NDArray[np.float64], strength: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    at = np.linspace(0.0, 1.0, len(anchors))
    return np.stack([np.interp(strength, at, anchors[:, channel]) for channel in range(3)], axis=-1)


def colour(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return (..., 3) uint8 colours of values in [-1, 1]: orange for positive, blue for negative, white for zero."""
    strength = np.clip(np.abs(values), 0.0, 1.0)
    picked = np.where((values >= 0)[..., None], _ramp(_POSITIVE, strength), _ramp(_NEGATIVE, strength))
    return np.asarray(np.rint(picked), dtype=np.uint8)


def overlay(image: npt.NDArray[np.uint8], values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return the image in grey, tinted where the values in [-1, 1] are far from zero.

    Args:
        image: (H, W, 3) uint8.
        values: (H, W); the tint covers the image by at most 85 %.
    """
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    # The middle of each ramp is its most saturated colour: dark ends would look like dark image.
    tint = np.where((values >= 0)[..., None], _POSITIVE[1:3].mean(axis=0), _NEGATIVE[2])
    cover = 0.85 * np.clip(np.abs(values), 0.0, 1.0)[..., None]
    return np.asarray(np.rint(grey[..., None] * (1 - cover) + tint * cover), dtype=np.uint8)


def scaled(attribution: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (H, W) values in [-1, 1] from attributions (C, H, W): channels added, the largest magnitude is 1.

    All zeros stay zeros.
    """
    flat = np.asarray(attribution, dtype=np.float64).sum(axis=0)
    largest = float(np.abs(flat).max(initial=0.0))
    return np.asarray(flat / largest) if largest > 0 else flat
