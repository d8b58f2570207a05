"""watch, retry, artifacts: commands that ask the operator's service."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.cluster_cli.conftest import Cluster, Xnas
from xnas_core.api.status import StateWord
from xnas_core.cli.cluster.picture import Picture
from xnas_core.cli.cluster.watching import render
from xnas_core.search.view import CandidateState
from xnas_core.search.viewing import view
from xnas_core.service import values as v
from xnas_core.testing.command_line import Told
from xnas_core.testing.growing_search import GrowingSearch

ANN = ("--service-account", "ann")


async def _watched(cluster: Cluster, run: Xnas, growing: GrowingSearch, *more: str) -> Told:
    """Watch while the search goes on to its end."""
    watching = asyncio.ensure_future(run("watch", "digits", *ANN, *more))
    for _ in range(1000):
        if ("ann", "watch") in {(c.rpartition(":")[2], "watch") for c in cluster.authorizer.callers}:
            break
        await asyncio.sleep(0.01)
    growing.finish(3, fail=True)
    growing.complete()
    return await asyncio.wait_for(watching, 60)


async def test_without_a_terminal_there_is_a_line_for_each_event(cluster: Cluster, run: Xnas) -> None:
    growing = cluster.search()
    growing.finish(4)
    told = await _watched(cluster, run, growing, "--from-beginning")
    assert (told.code, told.err) == (0, "")
    lines = [line.partition(" ")[2] for line in told.out.splitlines()]
    # The end may come before the first word of the watch.
    assert lines[0].startswith(("team-a/digits · Running", "team-a/digits · Complete"))
    scored = [c for c in view(growing.engine, "digits").candidates if c.state is CandidateState.SUCCEEDED]
    for candidate in scored:
        assert sum(line.startswith(f"{candidate.id} · accuracy ") for line in lines) == 1
    assert sum(line.endswith("failed: NonFinite: the loss is nan") for line in lines) == 3
    assert lines[-1].startswith(("team-a/digits · Complete", "60 of 60 evaluations"))


async def test_as_json_there_is_a_document_for_each_event(cluster: Cluster, run: Xnas) -> None:
    growing = cluster.search()
    growing.finish(4)
    told = await _watched(cluster, run, growing, "--json", "--from-beginning")
    events = [json.loads(line) for line in told.out.splitlines()]
    assert events[0]["event"] == "stands"
    assert events[0]["progress"]["limit"] == 60
    finished = [c for event in events if event["event"] == "finished" for c in event["candidates"]]
    assert [c["id"] for c in finished] == list(growing.engine.arrivals) or len(finished) == 60
    assert all(set(c["objectives"]) == {"accuracy", "macs"} for c in finished)
    front = [event["front"] for event in events if event["event"] == "newFront"][-1]
    assert front["members"] == list(view(growing.engine, "digits").front)
    assert all(event["token"] for event in events)


async def test_a_deleted_search_ends_the_watch_with_an_error(cluster: Cluster, run: Xnas) -> None:
    cluster.search().finish(4)
    watching = asyncio.ensure_future(run("watch", "digits", *ANN))
    for _ in range(1000):
        if cluster.authorizer.callers:
            break
        await asyncio.sleep(0.01)
    held = cluster.site.memory.searches["team-a", "digits"]
    await asyncio.sleep(0.2)
    held.feed.end()
    del cluster.site.memory.searches["team-a", "digits"]
    told = await asyncio.wait_for(watching, 60)
    assert told.code == 1
    assert "team-a/digits" in told.err


async def test_a_search_that_has_ended_is_told_at_once(cluster: Cluster, run: Xnas) -> None:
    cluster.search().complete()
    told = await run("watch", "digits", *ANN)
    assert told.code == 0
    assert "60 of 60 evaluations" in told.out


# --- the picture ---------------------------------------------------------------------------------------------------


def _drawn(picture: Picture, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, highlight=False, markup=False)
    console.print(render(picture, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_picture_shows_numbers_and_front(columns: int) -> None:
    growing = GrowingSearch("uid")
    growing.finish(20)
    engine = growing.engine
    whole = view(engine, "digits")
    picture = Picture("team-a/digits", spec=whole.spec)
    assert _drawn(picture, columns) == ["team-a/digits · connecting"]
    front = v.FrontSummary(whole.front, len(whole.front), whole.hypervolume)
    picture.take(
        v.Stands("uid", v.Standing(StateWord.RUNNING, "Evaluating", "evaluations run"), engine.progress(), front)
    )
    assert picture.unknown == whole.front
    assert picture.members is None
    picture.take(v.Finished(whole.candidates))
    assert picture.unknown == ()
    drawn = _drawn(picture, columns)
    assert drawn[0] == "team-a/digits · Running"
    assert any("20/60 evaluations" in line for line in drawn)
    assert any(line.startswith(f"front {len(whole.front)} · hypervolume") for line in drawn)
    assert [member for member in whole.front if any(line.startswith(member) for line in drawn)] == list(
        whole.front[:12]
    )
    assert max(map(len, drawn)) <= columns


def test_the_picture_forgets_who_was_beaten() -> None:
    growing = GrowingSearch("uid")
    growing.finish(20)
    whole = view(growing.engine, "digits")
    picture = Picture("p", spec=whole.spec)
    picture.take(v.Finished(whole.candidates))
    picture.take(v.NewFront(v.FrontSummary(whole.front[:1], 1, 0.1)))
    assert picture.members is not None
    assert picture.members.front == whole.front[:1]
    picture.take(v.NewFront(v.FrontSummary(whole.front, len(whole.front), 0.2)))
    assert picture.unknown == whole.front[1:]
    picture.take(v.Deleted())
    assert picture.deleted


# --- retry ---------------------------------------------------------------------------------------------------------


async def test_retry_is_for_candidates_that_failed(
    cluster: Cluster, run: Xnas, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = cluster.search()
    scored = growing.finish(2)[0]
    failed = growing.finish(1, fail=True)[0]
    told = await run("retry", "digits", scored, *ANN)
    assert told.code == 2
    assert f"{scored} has not failed, it is succeeded; those that failed: {failed}" in told.err
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("xnas_core.client.SearchClient.request_task", lambda _client, *what: asked.append(what))
    told = await run("retry", "digits", failed[:8], *ANN)
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[:2] == [
        f"{failed} will be evaluated again", "  it failed before: NonFinite: the loss is nan",
    ]  # fmt: skip
    assert asked == [("team-a", "digits", failed, "evaluate")]
    answer = json.loads((await run("retry", "digits", failed, *ANN, "--json")).out)
    assert answer == {"search": "team-a/digits", "candidate": failed, "requested": "evaluate"}


# --- artifacts -----------------------------------------------------------------------------------------------------


async def test_artifacts_are_listed_and_fetched(cluster: Cluster, run: Xnas, tmp_path: Path) -> None:
    growing = cluster.search()
    first = growing.finish(6)[0]
    told = await run("artifacts", "digits", first, *ANN)
    keys = [line.split()[0] for line in told.out.splitlines()]
    assert [key.rpartition("/")[2] for key in keys] == ["checkpoint.json", "checkpoint.safetensors"]
    listed = json.loads((await run("artifacts", "digits", "--match", "*.json", *ANN, "--json")).out)["artifacts"]
    assert len(listed) == 6
    assert all(one["key"].endswith(".json") and len(one["sha256"]) == 64 for one in listed)
    on_front = json.loads((await run("artifacts", "digits", "--front", *ANN, "--json")).out)["artifacts"]
    assert {one["candidate"] for one in on_front} == set(view(growing.engine, "digits").front)
    told = await run("artifacts", "digits", first, *ANN, "--download", "got")
    assert told.out.startswith("2 files, ")
    store = cluster.site.memory.searches["team-a", "digits"].store
    for key in keys:
        assert (tmp_path / "got" / key).read_bytes() == store.get(key)


async def test_what_is_there_and_right_is_not_fetched_again(cluster: Cluster, run: Xnas, tmp_path: Path) -> None:
    first = cluster.search().finish(1)[0]
    answer = json.loads((await run("artifacts", "digits", first, *ANN, "--download", "got", "--json")).out)
    paths = [Path(file["path"]) for file in answer["files"]]
    (tmp_path / paths[1]).write_bytes(b"altered")
    store = cluster.site.memory.searches["team-a", "digits"].store
    store.delete(answer["files"][0]["key"])
    assert (await run("artifacts", "digits", first, *ANN, "--download", "got")).code == 0
    assert (tmp_path / paths[1]).read_bytes() == store.get(answer["files"][1]["key"])
    (tmp_path / paths[0]).unlink()
    told = await run("artifacts", "digits", first, *ANN, "--download", "got")
    assert (told.code, "any more" in told.err) == (1, True)


async def test_an_altered_artifact_is_refused(cluster: Cluster, run: Xnas, tmp_path: Path) -> None:
    growing = cluster.search()
    first = growing.finish(1)[0]
    held = cluster.site.memory.searches["team-a", "digits"]
    key = json.loads((await run("artifacts", "digits", first, *ANN, "--json")).out)["artifacts"][0]["key"]
    held.store.put(key, b"altered")
    told = await run("artifacts", "digits", first, *ANN, "--download", "got")
    assert told.code == 1
    assert "digest" in told.err
    assert not (tmp_path / "got" / key).exists()
