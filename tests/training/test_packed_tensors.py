"""Packed tensors: the same bytes for the same content, and the same content back."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load

from xnas_core.errors import IntegrityError
from xnas_evaluator.tensors import pack, unpack

TENSORS = {"ü": torch.arange(5, dtype=torch.float64), "b": torch.ones(2, 3, dtype=torch.uint8), "c": torch.zeros(0)}


def test_the_same_content_is_the_same_bytes() -> None:
    assert len({pack(TENSORS, {"name": "Ä", "n": 1}) for _ in range(40)}) == 1


@pytest.mark.parametrize("length", range(9))
def test_what_was_packed_comes_back_and_is_plain_safetensors(length: int) -> None:
    data = pack(TENSORS, {"text": "é" * length})
    tensors, metadata = unpack(data, "it")
    assert metadata == {"text": "é" * length}
    for found in (tensors, load(data)):
        assert set(found) == set(TENSORS)
        assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert int.from_bytes(data[:8], "little") % 8 == 0


@pytest.mark.parametrize("place", [0, 9, -1])
def test_altered_bytes_are_noticed(place: int) -> None:
    data = bytearray(pack(TENSORS, {}))
    data[place] ^= 1
    with pytest.raises(IntegrityError, match="it "):
        unpack(bytes(data), "it")
