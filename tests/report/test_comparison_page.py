"""compare.html: its words and figures, and what a browser sees of it."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.report import chromium
from tests.report.audit import audit
from tests.report.html_check import Checker
from xnas_core.analysis.arms import Comparison, compare
from xnas_core.analysis.contrasts import contrasts
from xnas_core.analysis.summaries import band, summaries
from xnas_core.report.comparison import milestones, render_comparison, sentences
from xnas_core.report.comparison_plots import joint_front, mark
from xnas_core.report.numbers import number
from xnas_core.search.view import SearchState, SearchView
from xnas_core.testing.sample_search import sample_search


@cache
def made_up(seed: int, population: int, objectives: tuple[str, ...] = ("accuracy", "introspectability")) -> SearchView:
    # A suspended one has no pictures, which would take most of the time.
    view = sample_search(43, seed=seed, population=population, state=SearchState.SUSPENDED, objectives=objectives).view
    return replace(view, state=SearchState.COMPLETE, search_id=f"{seed}/{population}")


@cache
def comparison() -> Comparison:
    return compare([(f"runs/p{p}-s{s}", made_up(s, p)) for p in (8, 16, 32) for s in (1, 2, 3)])


@cache
def page() -> str:
    return render_comparison(comparison())


def test_the_page_is_well_formed_accessible_and_needs_nothing() -> None:
    checker = Checker(page())
    assert checker.problems == []
    assert checker.tags["script"] == 0
    assert "script-src &#39;none&#39;" in page()
    assert page() == render_comparison(comparison())
    assert len(page()) < 300_000


def test_figures_are_those_of_the_searches() -> None:
    words = Checker(page()).words
    for figures in summaries(comparison()):
        values = [t.view.history[-1].hypervolume for t in figures.arm.trials]
        assert list(figures.at_end.values) == values
        assert figures.at_end.mean == pytest.approx(sum(values) / 3)
        assert number(figures.at_end.mean) in words
        assert number(figures.at_end.low) in words
    for trial in (t for arm in comparison().arms for t in arm.trials):
        assert f"{trial.label} {trial.seed} Complete 40 {len(trial.view.front)}" in words
    for sentence in sentences(comparison(), contrasts(comparison())):
        assert " ".join(sentence.split()) in words


def test_bands_hold_the_mean_and_end_at_the_last_evaluation() -> None:
    for arm in comparison().arms:
        found = band(arm, points=10)
        assert len(found.evaluations) == 10
        assert found.evaluations[-1] == arm.evaluations
        assert found.low is not None
        assert found.high is not None
        assert all(0 <= a <= b <= c for a, b, c in zip(found.low, found.mean, found.high, strict=True))
    alone = compare([("a", made_up(1, 8)), ("b", made_up(1, 16))])
    assert band(alone.arms[0]).low is None


def test_a_joint_front_is_what_no_member_of_any_search_beats() -> None:
    arm = comparison().arms[0]
    everyone = [c.objectives for t in arm.trials for c in t.view.candidates if c.on_front]
    for a, b in joint_front(arm, 0, 1):
        assert (a, b) in everyone
        assert not any(x >= a and y >= b and (x, y) != (a, b) for x, y in everyone if x is not None and y is not None)


def test_arms_differ_in_shape_and_colour() -> None:
    marks = [str(mark(place, 0, 0)) for place in range(35)]
    assert len(set(marks)) == 35
    shapes = [found[1] for text in marks if (found := re.search(r' d="([^"]*)"', text))]
    assert shapes[0] != shapes[6], "the first and the seventh arm are both blue"


def test_milestones_go_as_far_as_the_longest_arm() -> None:
    assert milestones(comparison())[-1] == 40
    assert len(milestones(comparison())) == 10


def test_single_searches_one_objective_and_three_are_no_trouble() -> None:
    single = compare([("a", made_up(1, 8)), ("b", made_up(1, 16))])
    assert "cannot be told from one search each" in Checker(render_comparison(single)).words
    for objectives, plots in ((("accuracy",), 0), (("accuracy", "introspectability", "macs"), 3)):
        some = compare([(str(p), made_up(1, p, objectives)) for p in (8, 16)])
        text = render_comparison(some)
        assert Checker(text).problems == []
        assert text.count("Fronts of 2 arms") == plots * 2 * 2  # wide and narrow; title and label


def test_before_anything_is_finished_there_is_a_page() -> None:
    empty = [replace(made_up(1, p), candidates=(), front=(), reference_point=None, history=()) for p in (8, 16)]
    text = render_comparison(compare([(str(k), view) for k, view in enumerate(empty)]))
    assert Checker(text).problems == []


@pytest.mark.usefixtures("browser_there")
def test_a_browser_finds_nothing_faint_small_or_cut_off(tmp_path: Path) -> None:
    (tmp_path / "c.html").write_text(page())
    with chromium.page(tmp_path / "profile") as browser:
        for width, dark in ((360, True), (768, False), (1280, False)):
            browser.open(f"file://{tmp_path}/c.html", width=width, dark=dark)
            browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert audit(browser) == {"faint": [], "small": [], "wide": [], "cut": []}, (width, dark)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.problems == []
        assert {url for url in browser.requests if not url.startswith("data:")} == {f"file://{tmp_path}/c.html"}
        letters = "[...document.querySelectorAll('.wide-only .letter')].map(t => t.getBoundingClientRect().top)"
        tops = sorted(browser.run(letters))
        assert len(tops) == 3
        assert all(b - a > 10 for a, b in itertools.pairwise(tops))
