"""Bounds of messages: how large a candidate is about, and how many fit into one answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from xnas_core.search.view import CandidateRecord
from xnas_core.service.values import ANSWER_BYTES

_LARGE = 1024 * 1024
_SHORT = 200
_UTF8 = 4  # bytes of a character, at most


def approximate_bytes(record: CandidateRecord) -> int:
    """Return how many bytes a candidate has in a message, from above."""
    numbers = [*record.metrics, *record.errors, *record.timings]
    texts = (
        len(record.arch) + len(record.failure) + sum(map(len, record.operators)) + sum(map(len, record.parents))
        + sum(map(len, numbers)) + sum(len(k) + len(text) for k, text in record.environment.items())
        + sum(len(a.key) for a in record.artifacts) + sum(len(a.evaluator) + len(a.message) for a in record.history)
    )  # fmt: skip
    entries = len(numbers) + len(record.environment) + len(record.objectives) + len(record.genes)
    return 256 + _UTF8 * texts + 96 * entries + 96 * len(record.artifacts) + 64 * len(record.history)


def shortened(record: CandidateRecord) -> CandidateRecord:
    """Return the candidate; where it is very large, with the messages of its attempts cut short."""
    if approximate_bytes(record) <= _LARGE:
        return record
    history = tuple(
        replace(attempt, message=attempt.message[:_SHORT] + "…") if len(attempt.message) > _SHORT else attempt
        for attempt in record.history
    )
    return replace(record, history=history)


def fitting(records: Iterable[CandidateRecord], limit: int = ANSWER_BYTES) -> Iterator[CandidateRecord]:
    """Yield candidates, shortened, as long as they fit into one message; the first one always."""
    total = 0
    for record in map(shortened, records):
        size = approximate_bytes(record)
        if total and total + size > limit:
            return
        total += size
        yield record
