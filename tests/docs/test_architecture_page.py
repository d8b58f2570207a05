"""docs/architecture.md names every part that there is, every key, and every decision."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xnas_core.artifacts import keys

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
KEYS = sorted({value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)})
_SECTION = re.compile(r"^## .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return a section with its heading."""
    found: str
    (found,) = [text for text in _SECTION.findall(PAGE) if text.startswith(f"## {title}\n")]
    return found


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_in_the_scheme(key: str) -> None:
    assert f"`{key}" in section("Keys")


def test_every_package_of_the_core_and_the_evaluator_has_its_line() -> None:
    parts = section("Parts")
    packages = [path.parent for path in ROOT.glob("xnas_core/*/__init__.py")]
    packages += [path.parent for path in ROOT.glob("evaluator/xnas_evaluator/*/__init__.py")]
    assert len(packages) > 15
    assert [folder.name for folder in packages if not re.search(rf"\b{folder.name}`", parts)] == []


def test_every_module_of_the_operator_is_named() -> None:
    text = section("The operator")
    here = ROOT / "operator/xnas_operator"
    modules = {path.stem for path in here.glob("*.py")} | {path.parent.name for path in here.glob("*/__init__.py")}
    left_out = {"__init__", "__main__", "text"}
    assert sorted(name for name in modules - left_out if f"`{name}`" not in text) == []
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE)))
    assert sorted(set(named) - modules) == []


def test_every_decision_is_listed_under_its_number() -> None:
    listed = re.findall(r"^(\d+)\. \[.*\]\(adr/(.*)\)$", section("Decisions"), re.MULTILINE)
    files = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [name for _, name in listed] == [file.name for file in files]
    for number, (told, name) in enumerate(listed, start=1):
        assert int(told) == number
        assert name.startswith(f"{number:04d}-")
        assert (ROOT / "docs/adr" / name).read_text(encoding="utf-8").startswith(f"# {number}. ")
