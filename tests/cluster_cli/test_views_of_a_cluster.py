"""front, candidate, lineage and report of a search on a cluster: through a forwarded port, over TLS, with a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_cli.conftest import Cluster, Xnas
from xnas_core.client import SearchClient
from xnas_core.search.viewing import view
from xnas_core.testing.command_line import xnas

ANN = ("--service-account", "ann")


async def test_front_is_read_through_a_forwarded_port_and_no_other_candidate(
    cluster: Cluster, run: Xnas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("candidates were listed")

    monkeypatch.setattr("xnas_core.service.candidates.page", asked)
    growing = cluster.search()
    growing.finish(12)
    told = await run("front", "digits", *ANN)
    assert (told.code, told.err) == (0, "")
    expected = view(growing.engine, "digits")
    assert [line.split()[0] for line in told.out.splitlines()[2:]] == list(expected.front)
    assert cluster.authorizer.callers[-1] == "system:serviceaccount:team-a:ann"
    assert ("get", "", "pods/portforward") in cluster.api.rules()


async def test_candidate_and_lineage_tell_the_same_as_of_a_folder(cluster: Cluster, run: Xnas) -> None:
    growing = cluster.search()
    growing.finish(12)
    expected = view(growing.engine, "digits")
    youngest = expected.candidates[-1]
    card = json.loads((await run("candidate", "team-a/digits", youngest.id, *ANN, "--json")).out)
    assert (card["genes"], card["parents"]) == (list(youngest.genes), list(youngest.parents))
    told = json.loads((await run("lineage", "digits", "-n", "team-a", youngest.id, *ANN, "--json")).out)
    assert set(youngest.parents) <= {ancestor["id"] for ancestor in told["ancestors"]}
    absent = await run("candidate", "digits", "c0000", *ANN)
    assert (absent.code, "has no candidate 'c0000'" in absent.err) == (2, True)


async def test_report_is_rendered_while_the_search_runs_and_fetched_when_it_has_ended(
    cluster: Cluster, run: Xnas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = cluster.search()
    growing.finish(8)
    written: list[str] = []

    def write(what: object, read: object, path: Path) -> None:
        written.append(getattr(what, "name", ""))
        path.write_text("rendered here")

    monkeypatch.setattr("xnas_core.report.write_report", write)
    told = await run("report", "digits", *ANN)
    assert told.out.strip() == str(tmp_path / "report-digits.html")
    assert written == ["digits"]
    growing.complete()
    # The end came, the report is not there yet.
    assert (await run("report", "digits", *ANN)).code == 0
    assert written == ["digits", "digits"]
    cluster.site.memory.searches["team-a", "digits"].store.put("report.html", b"stored there")
    answer = json.loads((await run("report", "digits", *ANN, "--destination", "x.html", "--json")).out)
    assert answer == {"report": str(tmp_path / "x.html"), "opened": False}
    assert (tmp_path / "x.html").read_bytes() == b"stored there"


async def test_an_existing_folder_means_one_machine(cluster: Cluster, run: Xnas, tmp_path: Path) -> None:
    cluster.search().finish(6)
    (tmp_path / "digits").mkdir()
    told = await run("front", "digits", *ANN)
    assert (told.code, "digits holds no search" in told.err, "-n NAMESPACE" in told.err) == (2, True, True)
    assert (await run("front", "digits", "-n", "team-a", *ANN)).code == 0
    assert (await run("front", "team-a/digits", *ANN)).code == 0


async def test_what_is_neither_folder_nor_search(cluster: Cluster, run: Xnas, tmp_path: Path) -> None:
    cluster.search()
    told = await run("front", "team-a/digit", *ANN)
    assert told.code == 1
    assert "did you mean 'digits'?" in told.err
    assert "no folder team-a/digit" in told.err
    for path in ("./digits", "runs/first/", "/nowhere", "a/b/c"):
        told = await run("front", path)
        assert (told.code, "holds no search" in told.err) == (2, True)
    (tmp_path / "file").write_text("")
    assert "is a file" in (await run("front", "file")).err


def test_without_a_cluster_a_name_is_a_folder() -> None:
    told = xnas("front", "runs/first")
    assert told.code == 2
    assert "runs/first holds no search" in told.err
    assert "KUBECONFIG" in told.err


async def test_a_search_that_has_not_begun(cluster: Cluster, run: Xnas) -> None:
    cluster.search("other")
    cluster.site.memory.searches["team-a", "other"].growing = None
    cluster.site.memory.searches["team-a", "other"].feed.engine = None
    told = await run("front", "other", *ANN)
    assert (told.code, "was not accepted yet" in told.err) == (1, True)


async def test_export_tells_the_evaluators_side_how_to_reach_the_search(
    cluster: Cluster, run: Xnas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = cluster.search()
    identity = growing.finish(6)[0]
    read: list[bytes] = []

    def ask(module: str, question: dict[str, Any]) -> dict[str, Any]:
        there = question["service"]
        names = {"token": there["token"], "ca_file": there["caFile"], "server_name": there["serverName"]}
        # As another process does it, while the port is forwarded.
        with SearchClient(there["address"], **names) as client:
            record = client.candidate(there["namespace"], there["name"], question["candidate"])
            read.append(client.artifact(there["namespace"], there["name"], record.artifacts[0].key))
        assert question["destination"] == str(tmp_path / "exports")
        return {"candidate": record.id, "samples": 5, "files": []}

    monkeypatch.setattr("xnas_core.local.describe.ask_evaluator", ask)
    told = await run("export", "digits", identity[:9], *ANN)
    assert (told.code, told.out) == (0, "checked on 5 validation images\n")
    assert len(read) == 1
