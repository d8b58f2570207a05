"""Commands that need the Kubernetes API alone: submit, list, get, suspend, resume, scale, delete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cluster_cli.conftest import Xnas, resource
from xnas_core.testing.fake_api import FakeApi, Fault
from xnas_core.testing.search_site import manifest


def _file(path: Path, document: object) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


async def test_submit_makes_the_search_as_it_was_written(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    document = manifest()
    del document["metadata"]["namespace"]
    told = await run("submit", _file(tmp_path / "s.yaml", document))
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[0] == "team-a/digits submitted"
    assert api.get("architecturesearches", "team-a", "digits")["spec"] == document["spec"]
    again = await run("submit", tmp_path / "s.yaml")
    assert again.code == 1
    assert "already; choose another name" in again.err
    assert "xnas delete team-a/digits" in again.err


async def test_what_an_api_server_printed_can_be_submitted(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    document = api.create(resource("old"))
    document["metadata"] |= {"name": "new", "labels": {"a": "b"}}
    assert (await run("submit", _file(tmp_path / "s.yaml", document))).code == 0
    made = api.get("architecturesearches", "team-a", "new")
    assert made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["uid"] != document["metadata"]["uid"]
    assert "status" not in made
    told = await run("submit", tmp_path / "s.yaml", "--dry-run")
    assert told.code == 1
    assert api.requests[-1].code == 409


async def test_where_a_search_is_submitted(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    document = manifest("a")
    document["metadata"]["namespace"] = "team-b"
    file = _file(tmp_path / "s.yaml", document)
    assert "team-b/a submitted" in (await run("submit", file)).out
    told = await run("submit", file, "-n", "team-a")
    assert told.code == 2
    assert "says namespace team-b, but -n says team-a" in told.err
    del document["metadata"]["namespace"]
    answer = json.loads((await run("submit", _file(file, document), "-n", "default", "--json")).out)
    assert (answer["namespace"], answer["name"], answer["state"]) == ("default", "a", "Pending")


async def test_data_of_the_cluster_are_not_looked_for_here(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    document = manifest(dataset={"source": {"imageFolder": "/data/only-there"}})
    assert (await run("submit", _file(tmp_path / "s.yaml", document))).code == 0


async def test_a_mistake_in_the_file_is_said_with_its_line(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    document = manifest()
    document["spec"]["sed"] = document["spec"].pop("seed")
    told = await run("submit", _file(tmp_path / "s.yaml", document))
    assert told.code == 2
    assert "did you mean" in told.err
    assert api.requests == []


async def test_what_the_cluster_refuses_is_said_in_its_words(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    api.faults.add(Fault(code=422, message="spec.seed: too old", verb="create"))
    told = await run("submit", _file(tmp_path / "s.yaml", manifest()))
    assert (told.code, told.err) == (2, "error: the cluster refuses it: spec.seed: too old\n")


async def test_list_shows_a_line_for_each(api: FakeApi, run: Xnas) -> None:
    api.create(resource())
    api.create(resource("mnist", "team-b"))
    told = await run("list")
    head, row = told.out.splitlines()
    assert head.split() == ["name", "state", "evaluations", "front", "hypervolume", "evaluators", "age"]
    assert row.split()[:6] == ["digits", "Running", "7/60", "3", "0.5000", "1/2"]
    assert [line.split()[:2] for line in (await run("list", "-A")).out.splitlines()[1:]] == [
        ["team-a", "digits"], ["team-b", "mnist"],
    ]  # fmt: skip
    found = json.loads((await run("list", "-A", "--json")).out)["searches"]
    assert [(s["name"], s["evaluations"]["failed"], s["evaluators"]["ready"]) for s in found] == [
        ("digits", 1, 1), ("mnist", 1, 1),
    ]  # fmt: skip
    narrow = (await run("list", "-A", columns=40)).out
    assert max(map(len, narrow.splitlines())) <= 40
    assert "team-b/mnist" in narrow
    nothing = await run("list", "-n", "default")
    assert (nothing.code, nothing.out) == (0, "")
    assert "there is no search in namespace default" in nothing.err


async def test_a_long_list_is_fetched_in_pages(api: FakeApi, run: Xnas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnas_core.cli.cluster.kube._PAGE", 2)
    for number in range(5):
        api.create(resource(f"s{number}"))
    found = json.loads((await run("list", "--json")).out)["searches"]
    assert [search["name"] for search in found] == [f"s{number}" for number in range(5)]


async def test_get_gives_a_file_that_can_be_submitted(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    made = resource()
    made["metadata"]["labels"] = {"team": "a"}
    api.create(made)
    told = await run("get", "digits")
    document = yaml.safe_load(told.out)
    assert document["metadata"] == {"name": "digits", "namespace": "team-a", "labels": {"team": "a"}}
    assert "status" not in document
    document["metadata"]["name"] = "again"
    assert (await run("submit", _file(tmp_path / "s.yaml", document))).code == 0
    assert yaml.safe_load((await run("get", "digits", "--status")).out)["status"]["frontSize"] == 3
    whole = json.loads((await run("get", "team-a/digits", "--json")).out)
    assert whole["metadata"]["uid"]
    assert whole["status"]["frontSize"] == 3


async def test_suspend_resume_and_scale_change_one_field(api: FakeApi, run: Xnas) -> None:
    before = api.create(resource())["spec"]

    def spec() -> dict[str, object]:
        return dict(api.get("architecturesearches", "team-a", "digits")["spec"])

    assert "xnas resume team-a/digits" in (await run("suspend", "digits")).out
    assert spec() == before | {"suspend": True}
    assert "it is suspended" in (await run("scale", "digits", "3")).out
    assert spec() == before | {"suspend": True, "evaluators": {"replicas": 3}}
    assert json.loads((await run("resume", "team-a/digits", "--json")).out)["suspend"] is False
    assert (await run("scale", "-n", "team-a", "digits", "1")).out == "team-a/digits is to have 1 evaluator\n"
    assert (await run("scale", "digits", "-1")).code == 2
    assert {request.verb for request in api.requests} == {"patch"}


async def test_delete_asks_before_artifacts_go(api: FakeApi, run: Xnas) -> None:
    api.create(resource(artifacts={"retention": "Delete"}))
    told = await run("delete", "digits")
    assert told.code == 2
    assert "say --yes" in told.err
    assert api.exists("architecturesearches", "team-a", "digits")
    assert (await run("delete", "digits", "--yes")).out == "team-a/digits is being deleted\n"
    assert not api.exists("architecturesearches", "team-a", "digits")


async def test_delete_says_where_artifacts_stay(api: FakeApi, run: Xnas) -> None:
    api.create(resource())
    told = await run("delete", "digits")
    assert "xnas front s3://xnas/searches/team-a/digits/uid" in told.out
    api.create(resource())
    answer = json.loads((await run("delete", "digits", "--json")).out)
    assert answer["artifacts"] == "s3://xnas/searches/team-a/digits/uid"


async def test_delete_takes_no_search_that_was_made_meanwhile(api: FakeApi, run: Xnas) -> None:
    api.create(resource())
    api.faults.add(Fault(code=409, message="the UID in the precondition does not match", verb="delete"))
    told = await run("delete", "digits")
    assert told.code == 1
    assert "precondition" in told.err


async def test_an_absent_search_has_a_suggestion(api: FakeApi, run: Xnas) -> None:
    api.create(resource())
    api.create(resource("mnist", "team-b"))
    assert "did you mean 'digits'?" in (await run("suspend", "digit")).err
    assert "there are digits" in (await run("get", "cifar")).err
    elsewhere = await run("get", "mnist", "-n", "default")
    assert (elsewhere.code, "there is one in team-b: -n team-b" in elsewhere.err) == (1, True)
    assert json.loads((await run("scale", "digit", "2", "--json")).out)["reason"] == "NotFound"


@pytest.mark.parametrize("name", ["Digits", "a/b/c", "-x-", "../../secrets", "a" * 64, ""])
async def test_what_is_no_name_asks_nobody(api: FakeApi, run: Xnas, name: str) -> None:
    told = await run("get", "--", name)
    assert told.code == 2
    assert "NAMESPACE/NAME" in told.err
    assert api.requests == []


async def test_a_namespace_said_twice(api: FakeApi, run: Xnas) -> None:
    told = await run("get", "team-a/digits", "-n", "team-b")
    assert (told.code, "leave one of them out" in told.err) == (2, True)
