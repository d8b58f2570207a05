"""front, candidate, lineage and report on a made-up search."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from xnas_core.search.ancestry import ancestry
from xnas_core.search.view import SearchState, SearchView
from xnas_core.testing.command_line import xnas
from xnas_core.testing.sample_search import SampleSearch, sample_search


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> SearchView:
    return _opened(sample_search(120), monkeypatch)


def _opened(sample: SampleSearch, monkeypatch: pytest.MonkeyPatch) -> SearchView:
    monkeypatch.setattr("xnas_core.local.open_search", lambda _folder: sample.view)
    return sample.view


def test_front_lists_every_member_once_best_first(view: SearchView) -> None:
    told = xnas("front", "runs/x")
    assert told.code == 0
    assert told.err == ""
    assert "\x1b" not in told.out
    lines = told.out.splitlines()
    assert lines[0].startswith("sample: Complete (MaxEvaluations) · 120 evaluations")
    assert f"front {len(view.front)}" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == list(view.front)
    assert lines[1].split()[:3] == ["candidate", "accuracy", "introspectability"]


def test_front_as_json_has_the_numbers(view: SearchView) -> None:
    document = json.loads(xnas("front", "runs/x", "--json").out)
    by_id = {c.id: c for c in view.candidates}
    assert [member["id"] for member in document["front"]] == list(view.front)
    for member in document["front"]:
        assert tuple(member["objectives"].values()) == by_id[member["id"]].objectives
        assert member["metrics"]["parameters"] == by_id[member["id"]].metrics["parameters"]
    assert document["evaluations"]["succeeded"] + document["evaluations"]["failed"] == 120
    assert document["hypervolume"] == view.hypervolume


@pytest.mark.parametrize("command", [["front", "d"], ["candidate", "d", "{}"], ["lineage", "d", "{}"]])
def test_forty_columns_are_enough(view: SearchView, command: list[str]) -> None:
    told = xnas(*(part.format(view.front[0]) for part in command), columns=40)
    assert told.code == 0
    # The architecture is for copying: it is not broken.
    wide = [line for line in told.out.splitlines() if len(line) > 40 and not line.startswith("|")]
    assert wide == []
    assert view.front[0] in told.out


def test_wide_output_has_the_architecture(view: SearchView) -> None:
    assert "|+|" in xnas("front", "d", columns=200).out
    assert "|+|" not in xnas("front", "d", columns=100).out


@pytest.mark.parametrize("columns", [72, 80, 90, 100, 120, 160, 200])
def test_no_figure_is_cut_short(view: SearchView, columns: int) -> None:
    told = xnas("front", "d", columns=columns)
    assert "…" not in told.out
    rows = told.out.splitlines()[-len(view.front) :]
    assert [row.split()[0] for row in rows] == list(view.front)
    assert all(len(row) <= columns for row in rows)


@pytest.mark.parametrize("state", [SearchState.RUNNING, SearchState.FAILED, SearchState.SUSPENDED])
def test_a_search_without_a_front(state: SearchState, monkeypatch: pytest.MonkeyPatch) -> None:
    _opened(sample_search(6, state=state, finished=False), monkeypatch)
    told = xnas("front", "d")
    assert told.code == 0
    assert len(told.out.splitlines()) == 1
    assert ("the front is empty" if state is SearchState.FAILED else "no front yet") in told.out
    document = json.loads(xnas("front", "d", "--json").out)
    assert (document["front"], document["hypervolume"]) == ([], None)


def test_candidate_shows_everything_known(view: SearchView) -> None:
    record = next(c for c in view.candidates if c.id == view.front[0])
    told = xnas("candidate", "d", record.id)
    assert told.out.splitlines()[:2] == [f"{record.id} · succeeded · on the front", record.arch]
    for name in (*record.metrics, *(a.key for a in record.artifacts), *record.environment, "edge 0-1", "finalise 1"):
        assert re.search(rf"^{re.escape(name)}\s", told.out, re.MULTILINE), name
    document = json.loads(xnas("candidate", "d", record.id, "--json").out)
    assert document["genes"] == list(record.genes)
    assert [a["key"] for a in document["artifacts"]] == [a.key for a in record.artifacts]
    assert document["history"][-1]["task"] == "finalise"


def test_a_failed_candidate_says_why(view: SearchView) -> None:
    record = next(c for c in view.candidates if c.failure)
    told = xnas("candidate", "d", record.id)
    assert re.search(rf"^failed\s+{re.escape(record.failure)}", told.out, re.MULTILINE)
    assert json.loads(xnas("candidate", "d", record.id, "--json").out)["failure"] == record.failure


def test_the_beginning_of_an_id_is_enough_if_it_is_unique(view: SearchView) -> None:
    record = view.candidates[17]
    assert record.id in xnas("candidate", "d", record.id[:9]).out
    assert record.id in xnas("candidate", "d", record.id[1:9].upper()).out
    told = xnas("candidate", "d", "c")
    assert told.code == 2
    assert "beginning of 120 candidates" in told.err
    wrong = record.id[:-1] + ("0" if record.id[-1] != "0" else "1")
    assert f"did you mean '{record.id}'?" in xnas("candidate", "d", wrong).err
    assert "is empty" in xnas("candidate", "d", " ").err


def test_lineage_lists_each_ancestor(view: SearchView) -> None:
    record = max(view.candidates, key=lambda c: len(ancestry(view, c)))
    expected = ancestry(view, record)
    assert len(expected) > 5
    document = json.loads(xnas("lineage", "d", record.id, "--json").out)
    assert [a["id"] for a in document["ancestors"]] == [a.record.id for a in expected[1:]]
    assert all(a["distance"] >= 1 for a in document["ancestors"])
    told = xnas("lineage", "d", record.id, "--depth", "100", columns=200)
    assert set(re.findall(r"c[0-9a-f]{12}", told.out)) == {a.record.id for a in expected}
    assert f"{len(expected) - 1} ancestors in all" in told.out
    shallow = xnas("lineage", "d", record.id, "--depth", "1", columns=200).out
    assert "older generations: --depth shows more" in shallow
    assert len(shallow.splitlines()) < len(told.out.splitlines())


def test_lineage_of_one_drawn_at_random(view: SearchView) -> None:
    assert "0 ancestors in all" in xnas("lineage", "d", view.candidates[0].id).out


def test_damaged_parents_do_not_lead_into_a_loop(view: SearchView) -> None:
    from dataclasses import replace

    a, b = view.candidates[0], view.candidates[1]
    looped = (replace(a, parents=(b.id, a.id, "cunknown")), replace(b, parents=(a.id, a.id)), *view.candidates[2:])
    assert [x.record.id for x in ancestry(replace(view, candidates=looped), looped[1])] == [b.id, a.id]


def test_report_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _opened(sample_search(20), monkeypatch)
    told = xnas("report", tmp_path)
    assert told.code == 0
    assert told.out.strip() == str(tmp_path / "report.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidates.parquet", "front.csv", "report.html"]
    elsewhere = tmp_path / "elsewhere.html"
    document = json.loads(xnas("report", tmp_path, "--destination", elsewhere, "--json").out)
    assert document == {"report": str(elsewhere), "opened": False}
    assert elsewhere.read_bytes() == (tmp_path / "report.html").read_bytes()


def test_report_opens_in_a_browser_or_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _opened(sample_search(20), monkeypatch)
    opened: list[str] = []

    def browser(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    assert xnas("report", tmp_path, "--open").err == ""
    assert opened == [(tmp_path / "report.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda _url: False)
    assert f"open {opened[0]} in one" in xnas("report", tmp_path, "--open").err


def test_a_report_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _opened(sample_search(20), monkeypatch)
    told = xnas("report", tmp_path, "--destination", tmp_path / "no" / "report.html")
    assert told.code == 1
    assert told.err.startswith("error: cannot write")
