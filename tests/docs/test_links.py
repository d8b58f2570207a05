"""Every link of a page leads somewhere, every page is found from the README, and commands that are shown exist."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from xnas_core.api.problems import Severity
from xnas_core.api.validate import check_document
from xnas_core.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
README = "README.md"
PAGES = sorted(
    str(path.relative_to(ROOT)) for folder in ("", "docs/**/", "charts/**/") for path in ROOT.glob(f"{folder}*.md")
)
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:")


def prose(page: str) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def links(page: str) -> list[str]:
    """Return where a page leads within the repository, as it is written."""
    found = _LINK.findall(_CODE.sub("code", prose(page)))
    return [target for target in found if not _SCHEME.match(target)]


def place(page: str, target: str) -> tuple[str, str]:
    """Return path and anchor of a link."""
    path, _, anchor = target.partition("#")
    return (posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page), anchor


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    known: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        known[slug] = known.get(slug, -1) + 1
        if known[slug]:
            known[f"{slug}-{known[slug]}"] = 0
    return set(known)


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of each line of a page's shell blocks, comments and prompts left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield from (part.split() for part in re.split(r"&&|\|", line.partition(" #")[0]))


def test_the_pages_are_found() -> None:
    assert {README, "CHANGELOG.md", "docs/architecture.md", "docs/plugins/space.md", "charts/xnas/README.md"} <= set(
        PAGES
    )
    assert len(links(README)) > 20


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    wrong = []
    for target in links(page):
        path, anchor = place(page, target)
        if path.startswith("..") or not (ROOT / path).exists():
            wrong.append(f"{target}: there is no {path}")
        elif anchor and (not path.endswith(".md") or anchor not in anchors(path)):
            wrong.append(f"{target}: {path} has no such heading")
    assert wrong == []


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {place(README, target)[0] for target in links(README)}
    near = {page for page in linked if page.endswith(".md")}
    reached = near | {place(page, target)[0] for page in near for target in links(page)}
    assert [page for page in PAGES if page.startswith("docs/") and page not in reached] == []


def test_every_picture_is_shown() -> None:
    shown = {place(page, target)[0] for page in PAGES for target in links(page)}
    pictures = [path for path in (ROOT / "docs/images").iterdir() if path.is_file()]
    assert [path.name for path in pictures if f"docs/images/{path.name}" not in shown] == []
    assert [path.name for path in pictures if path.stat().st_size > 300_000] == []


def test_what_is_no_link_is_not_taken_for_one() -> None:
    assert _LINK.findall("[a](b.md#c) and [![x](y.png)](z) but not f[1](2 3)") == ["b.md#c", "y.png", "z"]
    assert _SCHEME.match("https://x.org")
    assert not _SCHEME.match("docs/x.md")
    assert {"the-resource", "keys"} <= anchors("docs/architecture.md")


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_shown_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known = {info.name for info in app.registered_commands}
    wrong = []
    for words in commands(page):
        program, argument = posixpath.basename(words[0]) if words else "", words[1] if len(words) > 1 else "--help"
        possible = {"make": targets, "xnas": {*known, "--help"}}.get(program)
        if possible is not None and argument not in possible:
            wrong.append(" ".join(words))
    assert wrong == []


def test_the_search_of_the_readme_is_valid() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / README).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    # Of another machine: its data are not looked for here.
    _, findings = check_document(yaml.safe_load(text), ROOT, here=False)
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []
