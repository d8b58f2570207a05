"""docs/protocol.md and the code say the same: ids, seeds, the table of what ended an attempt."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from xnas_core.tasks import (
    PREEMPTION_LIMIT,
    EndReason,
    FailureClass,
    TaskKind,
    attempt_prefix,
    candidate_id,
    classify,
    derived_seed,
    generator,
    task_id,
)

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
DESIGN_PROMISE = (
    "Generational mode, objectives that do not measure time, one kind of device, fixed thread count: an interrupted "
    "and resumed search has the same candidates, values and front as one never interrupted."
)


def _table_of_ends() -> dict[str, str]:
    rows = re.findall(r"^\| .+ \| `(\w+)` \| (failed|final|preempted) \|$", PAGE, re.MULTILINE)
    return dict(rows)


def test_the_page_lists_every_reason_once() -> None:
    rows = re.findall(r"^\| .+ \| `(\w+)` \| (?:failed|final|preempted) \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(reason.value for reason in EndReason)


@pytest.mark.parametrize("reason", list(EndReason))
def test_each_row_of_the_table_is_what_the_code_does(reason: EndReason) -> None:
    assert classify(reason) is FailureClass(_table_of_ends()[reason.value])


def test_the_preemption_limit_is_the_pages() -> None:
    assert f"its own limit is {PREEMPTION_LIMIT} for each task" in PAGE


def test_the_promise_is_there_word_for_word() -> None:
    assert DESIGN_PROMISE in PAGE


def test_the_page_lists_every_task_kind() -> None:
    for kind in TaskKind:
        assert f"`{kind.value}`" in PAGE


def test_candidate_ids_follow_from_identity_alone() -> None:
    digest = hashlib.sha256(b"network").hexdigest()
    assert candidate_id("network") == "c" + digest[:12]


def test_task_ids_differ_in_every_part() -> None:
    base = ("search", TaskKind.EVALUATE, "c1", 12, 1)
    ids = {
        task_id(*base),
        task_id("other", *base[1:]),
        task_id("search", TaskKind.FINALISE, "c1", 12, 1),
        task_id("search", TaskKind.EVALUATE, "c2", 12, 1),
        task_id("search", TaskKind.EVALUATE, "c1", 13, 1),
        task_id("search", TaskKind.EVALUATE, "c1", 12, 2),
    }
    assert len(ids) == 6
    assert all(re.fullmatch("[0-9a-f]{24}", value) for value in ids)


def test_seeds_follow_from_the_path() -> None:
    digest = hashlib.sha256(b"7/train/c1").digest()
    assert derived_seed(7, "train", "c1") == int.from_bytes(digest[:8], "big") >> 1
    words = [int.from_bytes(digest[i : i + 8], "little") for i in range(0, 32, 8)]
    expected = np.random.default_rng(words).integers(0, 2**62, 4)
    assert generator(7, "train", "c1").integers(0, 2**62, 4).tolist() == expected.tolist()


def test_generators_of_two_purposes_differ() -> None:
    first, second = generator(7, "offspring", 1), generator(7, "offspring", 2)
    assert first.integers(0, 2**62, 4).tolist() != second.integers(0, 2**62, 4).tolist()


def test_an_attempt_has_its_own_prefix() -> None:
    assert attempt_prefix("c1", TaskKind.EVALUATE, 2) == "candidates/c1/evaluate-2/"
