"""`load_model` and `export_model` from a search on a cluster give what they give from its folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.keys import CHECKPOINT
from xnas_core.client import SearchClient
from xnas_core.errors import IntegrityError, InvalidInputError, UnknownNameError
from xnas_core.search.recovery import recover
from xnas_core.search.view import SearchView
from xnas_core.service.errors import ForbiddenError
from xnas_core.testing.certificates import Certificate
from xnas_core.testing.memory_store import MemoryStore
from xnas_core.testing.search_site import NAME, NAMESPACE, TOKEN, SearchSite, manifest
from xnas_evaluator import export_cli, load_model
from xnas_evaluator.export import ExportReport, export_model
from xnas_evaluator.stored_checkpoint import CheckpointMissingError
from xnas_evaluator.testing_trained import TrainedFolder, trained_folder

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    return trained_folder(tmp_path_factory.mktemp("remote") / "run", epochs=1)


@pytest.fixture
async def run(trained: TrainedFolder) -> AsyncIterator[Run]:
    """Calls a function with the served search, in a thread; `site` and `client` are there to be changed."""
    site = SearchSite()
    held = site.memory.put(NAMESPACE, manifest())
    held.feed.engine, _ = recover(FolderStore(trained.root))
    held.store = FolderStore(trained.root)
    await site.start()

    async def run_(function: Callable[..., Any], *arguments: Any, namespace: str = NAMESPACE, alter: Any = None) -> Any:
        if alter:
            store = MemoryStore()
            for key in FolderStore(trained.root).list("candidates/"):
                store.put(key, FolderStore(trained.root).get(key))
            alter(store)
            held.store = store

        def call() -> Any:
            with SearchClient(site.address, token=TOKEN, insecure=True) as client:
                return function(client.search(namespace, NAME), *arguments)

        return await asyncio.to_thread(call)

    yield run_
    await site.stop()


async def test_the_network_is_the_same(trained: TrainedFolder, run: Run) -> None:
    remote, local = await run(load_model, trained.candidate), load_model(trained.root, trained.candidate)
    images = torch.randint(0, 255, (4, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(remote(remote.normalise(images)), local(local.normalise(images)))
    assert remote.classes == local.classes
    assert not remote.training


async def test_an_unknown_candidate_has_a_suggestion(trained: TrainedFolder, run: Run) -> None:
    misspelt = trained.candidate[:-1] + ("0" if trained.candidate[-1] != "0" else "1")
    with pytest.raises(UnknownNameError, match=f"did you mean '{trained.candidate}'"):
        await run(load_model, misspelt)


async def test_an_altered_checkpoint_is_refused(trained: TrainedFolder, run: Run) -> None:
    def alter(store: MemoryStore) -> None:
        key = next(key for key in store.objects if key.endswith(CHECKPOINT))
        content = store.objects[key]
        store.objects[key] = content[:-1] + bytes([content[-1] ^ 64])

    with pytest.raises(IntegrityError, match=CHECKPOINT):
        await run(load_model, trained.candidate, alter=alter)


async def test_a_checkpoint_that_is_gone_has_a_sentence(trained: TrainedFolder, run: Run) -> None:
    def remove(store: MemoryStore) -> None:
        for key in [key for key in store.objects if key.endswith(CHECKPOINT)]:
            del store.objects[key]

    with pytest.raises(CheckpointMissingError, match="was not kept"):
        await run(load_model, trained.candidate, alter=remove)


async def test_who_may_not_read_the_search_loads_nothing(trained: TrainedFolder, run: Run) -> None:
    with pytest.raises(ForbiddenError):
        await run(load_model, trained.candidate, namespace="team-b")


async def test_a_process_that_exports_reaches_it_over_tls(
    trained: TrainedFolder, certificate: Certificate, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `xnas export` asks of the evaluator's side, up to the export itself."""
    exported: list[SearchView] = []

    def export_model_(search: Any, candidate: str, *_: object) -> ExportReport:
        exported.append(search.view())
        return ExportReport(candidate, 7, ())

    monkeypatch.setattr("xnas_evaluator.export.export_model", export_model_)
    site = SearchSite(certificates=certificate)
    held = site.memory.put(NAMESPACE, manifest())
    held.feed.engine, _ = recover(FolderStore(trained.root))
    await site.start()
    service = {
        "address": site.address, "token": TOKEN, "caFile": str(ca_file), "serverName": "xnas.test",
        "namespace": NAMESPACE, "name": NAME,
    }  # fmt: skip
    question = {"service": service, "candidate": trained.candidate, "destination": str(tmp_path), "formats": ["torch"]}
    answer = await asyncio.to_thread(export_cli.export, question)
    await site.stop()
    assert answer == {"candidate": trained.candidate, "samples": 7, "files": []}
    assert trained.candidate in {candidate.id for candidate in exported[0].candidates}
    with pytest.raises(InvalidInputError, match="'caFile' is missing"):
        export_cli.export({**question, "service": {"address": "x", "token": "t"}})


@pytest.mark.slow
async def test_it_can_be_exported(trained: TrainedFolder, run: Run, tmp_path: Path) -> None:
    report = await run(export_model, trained.candidate, tmp_path, ("torch",))
    assert [file.path.name for file in report.files] == [f"{trained.candidate}.pt2"]
    assert report.samples > 0


def test_something_else_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"int is neither a folder nor a search"):
        load_model(3, "c0")  # type: ignore[arg-type]  # on purpose
