"""The device of the tests in this folder, and the marks that each of their files carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

# torch's stubs know the module as it was before it had settings for each operation.
_CUDNN: Any = torch.backends.cudnn
DEVICE = "cuda"
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() and DEVICE == "cuda",
        reason="needs a CUDA device; CI has none, so these run only where someone starts them on a machine with one",
    ),
]


@contextmanager
def float32_is_float32() -> Iterator[None]:
    """Convolve in float32 proper, not in TF32 with its 10 bits of mantissa, so that devices can be compared."""
    before = _CUDNN.conv.fp32_precision
    _CUDNN.conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        _CUDNN.conv.fp32_precision = before
