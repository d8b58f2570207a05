"""docs/operations.md has an entry for each reason that a condition can have, and names only what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xnas_core.api.status import ConditionReason, ConditionType
from xnas_core.errors import InvalidInputError, LostOwnershipError, StoreError, UnknownNameError
from xnas_core.search import stopping
from xnas_operator.kube.errors import KubeError
from xnas_operator.spec_reading import RefusedError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.partition("| reason | where |")[2].splitlines()[2:]
    if line.startswith("| ")
]


def _all(error: type[KubeError]) -> set[str]:
    return {error.reason}.union(*(_all(kind) for kind in error.__subclasses__()))


def possible() -> set[str]:
    """Return every reason that a condition can have: conditions also carry those of errors that stand in the way."""
    ends = {value for name, value in vars(stopping).items() if name.isupper() and isinstance(value, str)}
    met = {kind.reason for kind in (InvalidInputError, UnknownNameError, StoreError, LostOwnershipError, RefusedError)}
    return {reason.value for reason in ConditionReason} | _all(KubeError) | met | ends


def test_every_reason_has_its_entry_and_no_entry_is_of_none() -> None:
    entries = [row[0].strip("`") for row in ROWS]
    assert sorted(set(entries)) == entries, "sorted, each once"
    assert set(entries) == possible()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_an_entry_says_where_what_and_what_to_do(row: list[str]) -> None:
    _, where, means, advice = row
    assert {word.strip() for word in where.split(",")} <= {kind.value for kind in ConditionType}
    assert len(means) > 10
    assert advice


def test_reasons_that_the_code_writes_as_text_are_entries_too() -> None:
    written = set()
    for file in (Path(__file__).parents[2] / "operator" / "xnas_operator").rglob("*.py"):
        written |= set(re.findall(r'Trouble\(\s*"(\w+)"', file.read_text(encoding="utf-8")))
        written |= set(re.findall(r'Finding\.\w+\(\s*"(\w+)"', file.read_text(encoding="utf-8")))
    assert written
    assert written <= {row[0].strip("`") for row in ROWS}


def test_metrics_that_are_named_exist() -> None:
    named = set(re.findall(r"`(xnas_[a-z_]+)", PAGE))
    source = (Path(__file__).parents[2] / "operator/xnas_operator/metrics.py").read_text(encoding="utf-8")
    assert len(named) > 5
    assert {name for name in named if f'"{name}"' not in source} == set()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGE))))
def test_links_lead_somewhere(target: tuple[str, str]) -> None:
    file, anchor = target
    text = PAGE if not file else (DOCS / file).read_text(encoding="utf-8")
    headings = [line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors
