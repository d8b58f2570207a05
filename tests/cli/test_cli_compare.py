"""`xnas compare` on made-up searches."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.report.html_check import Checker
from xnas_core.search.view import SearchState, SearchView
from xnas_core.testing.command_line import xnas
from xnas_core.testing.sample_search import sample_search


@cache
def made_up(seed: int, population: int) -> SearchView:
    # A suspended one has no pictures, which would take most of the time.
    view = sample_search(33, seed=seed, population=population, state=SearchState.SUSPENDED).view
    return replace(view, state=SearchState.COMPLETE, search_id=f"{seed}/{population}")


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    places = {}
    for population in (8, 32):
        for seed in (1, 2, 3):
            folder = f"p{population}-s{seed}"
            (tmp_path / folder).mkdir()
            places[folder] = made_up(seed, population)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xnas_core.local.open_search", lambda folder: places[str(folder)])
    return list(places)


def test_arms_figures_and_tests_are_told(folders: list[str]) -> None:
    told = xnas("compare", *folders, columns=240)
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0].startswith("A  algorithm.populationSize 8: ")
    assert lines[1].startswith("B  algorithm.populationSize 32: ")
    assert all(folder in lines[0] for folder in folders[:3])
    header = next(line for line in lines if line.startswith("arm"))
    for name in ("hypervolume after 30", "at the end", "best accuracy", "median introspectability"):
        assert name in header
    assert "A less B: " in told.out
    assert "no difference whatever could give less than p\u00a0=\u00a00.25" in told.out


def test_the_document_has_what_the_searches_have(folders: list[str]) -> None:
    document = json.loads(xnas("compare", *folders, "--json").out)
    assert document["budget"] == 30
    assert document["referencePoint"] == [0.1, 0.0]
    assert [arm["letter"] for arm in document["arms"]] == ["A", "B"]
    first = document["arms"][0]
    assert [search["seed"] for search in first["searches"]] == [1, 2, 3]
    views = [made_up(seed, 8) for seed in (1, 2, 3)]
    assert first["hypervolumeAtEnd"]["values"] == [view.history[-1].hypervolume for view in views]
    assert first["best"]["accuracy"]["values"] == [
        max(c.objectives[0] for c in view.candidates if c.objectives[0] is not None) for view in views
    ]
    (contrast,) = document["contrasts"]
    assert contrast["test"] == "paired"
    assert contrast["smallestPossibleP"] == 0.25
    assert document["page"] is None


def test_a_page_is_written_that_needs_nothing_else(folders: list[str], tmp_path: Path) -> None:
    told = xnas("compare", *folders, "--output", tmp_path / "c.html")
    assert told.code == 0
    assert str(tmp_path / "c.html") in told.out
    page = (tmp_path / "c.html").read_text()
    assert Checker(page).problems == []
    assert "<script" not in page


@pytest.mark.parametrize("columns", [40, 80])
def test_narrow_terminals_get_lines_in_place_of_a_table(folders: list[str], columns: int) -> None:
    told = xnas("compare", *folders, columns=columns)
    assert told.code == 0
    assert "best accuracy" in told.out
    assert all(len(line) <= columns for line in told.out.splitlines())


def test_what_cannot_be_compared_is_a_sentence(folders: list[str], tmp_path: Path) -> None:
    alone = xnas("compare", folders[0])
    assert alone.code == 2
    assert "at least two searches" in alone.err
    twice = xnas("compare", folders[0], folders[0], "--json")
    assert twice.code == 2
    assert "are the same search" in json.loads(twice.out)["error"]
    nowhere = xnas("compare", folders[0], folders[1], "--output", tmp_path / "no" / "c.html")
    assert nowhere.code == 1
    assert "cannot write" in nowhere.err
