"""How many bytes autograd keeps for the way back, exactly and the same on every machine: for tests of memory bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Kept:
    """Bytes that are kept now and were at most; a storage that several tensors share is counted once."""

    peak_bytes: int = 0
    _now: int = 0
    _holders: Counter[int] = field(default_factory=Counter)

    def take(self, storage: int, size: int) -> None:
        """Note one more holder of a storage."""
        if self._holders[storage] == 0:
            self._now += size
            self.peak_bytes = max(self.peak_bytes, self._now)
        self._holders[storage] += 1

    def give(self, storage: int, size: int) -> None:
        """Note that a holder is gone."""
        self._holders[storage] -= 1
        if self._holders[storage] == 0:
            self._now -= size


class _Held:
    """A tensor in autograd's keeping; goes when the graph goes."""

    def __init__(self, tensor: Tensor, kept: Kept | None) -> None:
        # Detached: an operation that keeps its own output would else keep itself alive.
        self.tensor = tensor.detach()
        self._kept = kept
        storage = tensor.untyped_storage()
        self._storage, self._size = storage.data_ptr(), storage.nbytes()
        if kept is not None:
            kept.take(self._storage, self._size)

    def __del__(self) -> None:
        if self._kept is not None:
            self._kept.give(self._storage, self._size)


@contextmanager
def kept_by_autograd(network: nn.Module) -> Iterator[Kept]:
    """Count what autograd keeps within, the network's own weights and statistics left out."""
    kept = Kept()
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}

    def pack(tensor: Tensor) -> _Held:
        return _Held(tensor, None if tensor.untyped_storage().data_ptr() in own else kept)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        yield kept
