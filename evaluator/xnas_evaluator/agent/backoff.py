"""Pauses between tries: exponential, bounded, with jitter."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that grow from `first` to `limit` seconds; each is drawn from its upper half, so that many differ.

    Args:
        rng: source of the jitter; it decides nothing but when a try is made, so it need not be seeded.
    """

    def __init__(self, first: float = 0.2, limit: float = 10.0, rng: random.Random | None = None) -> None:
        self._first = first
        self._limit = limit
        self._rng = rng or random.Random()
        self._tries = 0

    def next(self) -> float:
        """Return the next pause in seconds."""
        # Bounded exponent: after days of tries the power must not overflow.
        full = min(self._limit, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return full * (0.5 + self._rng.random() / 2)

    def reset(self) -> None:
        """Start again with the first pause."""
        self._tries = 0
