"""Attributions in the report: all methods side by side first, each by itself below."""

from __future__ import annotations

import html
import io
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xnas_core.artifacts.keys import SIDE_BY_SIDE
from xnas_core.artifacts.png_notes import NOTES_KEYWORD
from xnas_core.report.html import render
from xnas_core.report.pictures import Pictures
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


def _png(*chunks: tuple[str, str]) -> bytes:
    text, buffer = PngInfo(), io.BytesIO()
    for keyword, value in chunks:
        text.add_text(keyword, value)
    Image.new("L", (4, 4)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def _captions(png: bytes) -> set[str]:
    page = render(SAMPLE.view, lambda key: png if key.endswith("gradCam.png") else SAMPLE.read(key))
    return {html.unescape(found) for found in re.findall(r"<figcaption>(gradCam[^<]*)</figcaption>", page)}


def test_a_caption_says_with_which_parameters_the_picture_was_made() -> None:
    notes = {"layer": "stages.2 <last>", "layerSide": 4, "spread": 0.25, "relu": True, "odd": [1]}
    said = "gradCam: layer stages.2 <last>, layerSide 4, spread 0.25, relu yes"
    assert _captions(_png(("Comment", "another"), (NOTES_KEYWORD, json.dumps(notes)))) == {said}


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '"x"', "{}"])
def test_a_picture_without_whole_notes_is_shown_without(text: str) -> None:
    assert _captions(_png((NOTES_KEYWORD, text))) == {"gradCam"}


@given(cut=st.integers(8, 200), extra=st.binary(max_size=40))
def test_damaged_pictures_do_no_harm(cut: int, extra: bytes) -> None:
    whole = _png((NOTES_KEYWORD, '{"steps": 50}'))
    picture = Pictures(lambda _: whole[:cut] + extra).embed("a.png")
    assert picture.notes in ({}, {"steps": "50"})
