"""SEARCH as s3://BUCKET/PREFIX: a finished search is readable when its resource is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnas_core.artifacts.s3 import S3Store
from xnas_core.journal import Journal
from xnas_core.search.viewing import view
from xnas_core.testing.command_line import xnas
from xnas_core.testing.fake_s3 import FakeS3, fake_s3
from xnas_core.testing.growing_search import GrowingSearch

ROOT = "searches/team-a/digits/uid"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    with fake_s3() as server:
        settings = server.settings()
        monkeypatch.setenv("XNAS_S3_ENDPOINT", settings.endpoint)
        monkeypatch.setenv("XNAS_S3_ACCESS_KEY", settings.access_key)
        monkeypatch.setenv("XNAS_S3_SECRET_KEY", settings.secret_key)
        monkeypatch.delenv("XNAS_S3_CA_FILE", raising=False)
        yield server


@pytest.fixture
def place(s3: FakeS3) -> str:
    return f"s3://{s3.settings().bucket}/{ROOT}"


@pytest.fixture
def growing(s3: FakeS3) -> GrowingSearch:
    """A finished search whose journal and objects lie in the store."""
    store = S3Store(s3.settings().below(ROOT))
    made = GrowingSearch("uid", put=store.put)
    made.finish(4)
    made.complete()
    store.create("search.json", json.dumps({"schema": 1, "searchId": "uid", "name": "digits"}).encode())
    Journal(store).append(made.events)
    store.close()
    return made


def test_front_candidate_and_lineage(growing: GrowingSearch, place: str, s3: FakeS3) -> None:
    expected = view(growing.engine, "digits")
    before = dict(s3.objects)
    told = xnas("front", place)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("digits: Complete")
    assert [line.split()[0] for line in told.out.splitlines()[2:]] == list(expected.front)
    card = json.loads(xnas("candidate", f"{place}/", expected.front[0], "--json").out)
    assert card["genes"] == list(next(c for c in expected.candidates if c.id == expected.front[0]).genes)
    assert xnas("lineage", place, expected.candidates[-1].id).code == 0
    assert s3.objects == before


def test_the_stored_report_is_fetched(growing: GrowingSearch, place: str, s3: FakeS3, tmp_path: Path) -> None:
    S3Store(s3.settings().below(ROOT)).put("report.html", b"stored there")
    assert xnas("report", place).out.strip() == str(tmp_path / "report-digits.html")
    assert (tmp_path / "report-digits.html").read_bytes() == b"stored there"


def test_artifacts_are_fetched(growing: GrowingSearch, place: str, tmp_path: Path) -> None:
    told = xnas("artifacts", place, "--match", "*.png", "--download", "got")
    assert told.code == 0
    assert len(list((tmp_path / "got").rglob("*.png"))) == len(view(growing.engine, "digits").front)


def test_a_title_that_is_gone_harms_nothing(growing: GrowingSearch, place: str, s3: FakeS3) -> None:
    S3Store(s3.settings().below(ROOT)).delete("search.json")
    assert xnas("front", place).out.startswith("uid: Complete")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("front", "s3://xnas"), "names no search"),
        (("front", "s3:///a"), "names no search"),
        (("front", "s3://xnas/a", "-n", "team-a"), "leave out -n"),
        (("front", "s3://xnas/../a"), "not a valid object name"),
        (("front", "s3://UPPER/a"), "not a bucket's name"),
        (("get", "s3://xnas/a"), "NAMESPACE/NAME"),
    ],
)
def test_what_is_no_place_in_a_store(s3: FakeS3, arguments: tuple[str, ...], says: str) -> None:
    told = xnas(*arguments)
    assert (told.code, says in told.err) == (2, True), told.err


def test_a_place_without_a_search(s3: FakeS3, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = xnas("front", place)
    assert (told.code, "status.artifactsUri" in told.err) == (2, True)
    monkeypatch.delenv("XNAS_S3_SECRET_KEY")
    told = xnas("front", place)
    assert (told.code, "set XNAS_S3_SECRET_KEY" in told.err) == (2, True)
