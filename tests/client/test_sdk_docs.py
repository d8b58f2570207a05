"""docs/sdk.md: its examples are run against a service, and its tables name all there is."""

from __future__ import annotations

import asyncio
import csv
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from xnas_core.artifacts.folder import FolderStore
from xnas_core.client import CandidateQuery, SearchClient, WatchEvent
from xnas_core.errors import InvalidInputError
from xnas_core.search.recovery import recover
from xnas_core.service import codes
from xnas_core.testing.certificates import self_signed
from xnas_core.testing.search_site import NAMESPACE, TOKEN, SearchSite, manifest
from xnas_core.testing.waiting import until
from xnas_evaluator.testing_trained import trained_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example(name: str) -> dict[str, Any]:
    """Return what a script of the page defines."""
    script = dict(BLOCK.findall(PAGE.read_text()))[name]
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(script, f"docs/sdk.md:{name}", "exec"), namespace)
    return namespace


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[SearchSite, tuple[str, str, str]]]:
    """A site, and the first three arguments of each script."""
    certificate = self_signed("127.0.0.1")
    site = SearchSite(certificates=certificate)
    await site.start()
    ca, token = tmp_path / "ca.crt", tmp_path / "token"
    ca.write_bytes(certificate.chain)
    token.write_text(TOKEN)
    yield site, (site.address, str(token), str(ca))
    await site.stop()


async def test_the_complete_example(
    served: tuple[SearchSite, tuple[str, str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, where = served
    main = example("best_networks.py")["main"]
    run = asyncio.ensure_future(asyncio.to_thread(lambda: main(*where, NAMESPACE, tmp_path)))
    await until(lambda: run.done() or (NAMESPACE, "digits") in site.memory.searches)
    growing = site.memory.begin(NAMESPACE, "digits")
    growing.finish(10)
    await asyncio.sleep(0.05)
    growing.complete()
    await run
    printed = capsys.readouterr().out
    assert printed.count("finished:") >= 1
    assert {candidate.id for candidate in growing.engine.candidates} <= set(printed.split())
    with (tmp_path / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {growing.engine.candidates[n].id for n in growing.engine.archive.keys}
    assert "<html" in (tmp_path / "report.html").read_text()[:200]


async def test_loading_a_network(
    served: tuple[SearchSite, tuple[str, str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, where = served
    folder = await asyncio.to_thread(trained_folder, tmp_path / "run", epochs=1)
    held = site.memory.put(NAMESPACE, manifest("digits"))
    held.feed.engine, _ = recover(FolderStore(folder.root))
    held.store = FolderStore(folder.root)
    main = example("load_network.py")["main"]
    network = await asyncio.to_thread(lambda: main(*where, NAMESPACE, "digits", folder.candidate))
    assert network.candidate_id == folder.candidate
    assert "'9': 0." in capsys.readouterr().out


async def test_following_many(served: tuple[SearchSite, tuple[str, str, str]]) -> None:
    site, where = served
    for name, limit in (("one", 10), ("two", 20)):
        site.add(name, limits={"maxEvaluations": limit}).complete()
    assert await example("follow_many.py")["main"](*where, NAMESPACE) == {"one": 10, "two": 20}


def test_the_page_names_all_there_is() -> None:
    text = PAGE.read_text()
    methods = [name for name, f in vars(SearchClient).items() if inspect.isfunction(f) and not name.startswith("_")]
    fields = list(CandidateQuery.__dataclass_fields__)
    events = [kind.__name__ for kind in WatchEvent.__args__]
    arguments = [name for name in inspect.signature(SearchClient).parameters if name != "address"]
    for name in (*methods, *fields, *events, *arguments):
        assert name == "close" or re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", text), name
    for kind, code in codes.TABLE:
        ours = kind.__module__ == "xnas_core.service.errors" and not issubclass(kind, InvalidInputError)
        assert not ours or f"| `{kind.__name__}` | {code.name} |" in text, kind
