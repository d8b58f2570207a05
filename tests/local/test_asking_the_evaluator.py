"""Questions to the evaluator's side: its errors keep their kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.local.describe import ask_evaluator

_DESCRIBE = "xnas_evaluator.datasets.describe"


def test_a_cache_that_can_not_be_used_is_no_mistake_in_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels)
    monkeypatch.setenv("XNAS_CACHE", str(tmp_path / "data.npz"))
    with pytest.raises(StoreError, match="set XNAS_CACHE"):
        ask_evaluator(_DESCRIBE, {"dataset": {"source": {"npz": str(tmp_path / "data.npz")}}, "seed": 1})
    with pytest.raises(InvalidInputError, match="there is no file"):
        ask_evaluator(_DESCRIBE, {"dataset": {"source": {"npz": str(tmp_path / "absent.npz")}}, "seed": 1})
