"""The device of the tests in this folder, and the marks that each of their files carries."""

from __future__ import annotations

import pytest
import torch

DEVICE = "cuda"
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason="needs a CUDA device; CI has none, so these run only where someone starts them on a machine with one",
    ),
]
