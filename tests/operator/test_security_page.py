"""Every test that the security page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert not name or re.search(rf"def {name}\(", text)


def test_each_threat_names_its_test() -> None:
    rows = PAGE.split("## Threats")[1].split("## What is not stopped")[0].splitlines()
    threats = [row for row in rows if row.startswith("| ")][1:]
    assert len(threats) > 20
    assert [row for row in threats if "`tests/" not in row.split(" | ")[-1]] == []
