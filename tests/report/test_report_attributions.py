"""Attributions in the report: all methods side by side first, each by itself below."""

from __future__ import annotations

from dataclasses import replace

from xnas_core.artifacts.keys import SIDE_BY_SIDE
from xnas_core.report.html import render
from xnas_core.search.view import SearchView
from xnas_core.testing.sample_search import SampleSearch, sample_search

SAMPLE = sample_search(8)


def _page(sample: SampleSearch, view: SearchView | None = None) -> str:
    return render(view or sample.view, sample.read)


def test_the_comparison_comes_first_and_the_methods_are_folded_away() -> None:
    page = _page(SAMPLE)
    for identity in SAMPLE.view.front:
        part = page.partition(f'id="explained-{identity}"')[2]
        comparison = part.index("All methods side by side")
        folded = part.index("Each method by itself")
        assert comparison < folded < part.index("<figcaption>integratedGradients") < part.index("<figcaption>gradCam")
    assert "<figcaption>side-by-side" not in page


def test_one_method_alone_is_shown_unfolded() -> None:
    view = SAMPLE.view
    alone = tuple(
        replace(c, artifacts=tuple(a for a in c.artifacts if not a.key.endswith((SIDE_BY_SIDE, "gradCam.png"))))
        for c in view.candidates
    )
    page = _page(SAMPLE, replace(view, candidates=alone))
    assert "<figcaption>integratedGradients" in page
    assert "Each method by itself" not in page
    assert "All methods side by side" not in page


def test_a_comparison_that_is_gone_is_named() -> None:
    def read(key: str) -> bytes:
        if key.endswith(SIDE_BY_SIDE):
            raise KeyError(key)
        return SAMPLE.read(key)

    page = render(SAMPLE.view, read)
    assert "All methods side by side: the file is missing" in page
    assert page.count("<figcaption>gradCam</figcaption>") == len(SAMPLE.view.front)
