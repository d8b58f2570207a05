from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from xnas_core.artifacts.png_notes import NOTES_KEYWORD
from xnas_core.tasks import generator
from xnas_evaluator.explain.colours import colour, overlay, scaled
from xnas_evaluator.explain.panels import Row, panel
from xnas_evaluator.explain.tiles import MAX_ROWS, WIDTH

_TILE, _HEADER = 136, 78


def _row(channels: int = 1, height: int = 8, width: int = 8, seed: int = 0) -> Row:
    random = generator("panel row", seed)
    image = random.integers(0, 256, (channels, height, width), dtype=np.uint8)
    attribution = random.normal(size=(channels, height, width)).astype(np.float32)
    return Row(image, attribution, "sneaker", "ankle boot", 0.812, False, 0.0123)


def _pixels(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [_row(seed=n) for n in range(4)]
    assert panel("Saliency", rows, signed=True) == panel("Saliency", rows, signed=True)
    assert panel("Saliency", rows, signed=True) != panel("Saliency", [*rows[1:], rows[0]], signed=True)


def test_the_parameters_of_the_method_are_in_the_file_and_change_no_pixel() -> None:
    plain, noted = (panel("Saliency", [_row()], True, given) for given in (None, {"steps": 50, "baseline": "mean, σ"}))
    assert json.loads(Image.open(io.BytesIO(noted)).info[NOTES_KEYWORD]) == {"steps": 50, "baseline": "mean, σ"}
    assert NOTES_KEYWORD not in Image.open(io.BytesIO(plain)).info
    assert np.array_equal(_pixels(plain), _pixels(noted))


def test_twenty_digits_fit_into_a_hundred_kilobytes() -> None:
    assert len(panel("Integrated gradients", [_row(seed=n) for n in range(20)], signed=True)) < 100_000


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (3, 8, 200), (2, 12, 12), (1, 300, 4)]
)
def test_images_of_any_form_are_drawn(channels: int, height: int, width: int) -> None:
    pixels = _pixels(panel("x", [_row(channels, height, width)], signed=True))
    assert pixels.shape[1] == WIDTH
    tile = pixels[_HEADER + 1 : _HEADER + _TILE - 1, 9 : 8 + _TILE - 1]
    assert tile.reshape(-1, 3).std() > 10


def test_the_tile_shows_the_image_and_the_map_its_colours() -> None:
    image = np.zeros((1, 2, 2), dtype=np.uint8)
    image[0, 0, 0] = 255
    attribution = np.array([[[0.0, 5.0], [-5.0, 0.0]]], dtype=np.float32)
    pixels = _pixels(panel("x", [replace(_row(), image=image, attribution=attribution)], signed=True)).astype(int)
    first = pixels[_HEADER : _HEADER + _TILE, 8 : 8 + _TILE]
    quarter = _TILE // 4
    assert first[quarter, quarter].min() > 230
    assert first[quarter, 3 * quarter].max() < 30
    heat = pixels[_HEADER : _HEADER + _TILE, 8 + _TILE + 8 : 8 + 2 * _TILE + 8]
    positive, negative = heat[quarter, 3 * quarter], heat[3 * quarter, quarter]
    assert positive[0] > positive[2] + 50
    assert negative[2] > negative[0] + 50
    assert heat[quarter, quarter].min() > 230


def test_a_wrong_prediction_is_told_by_more_than_colour() -> None:
    wrong, right = (_pixels(panel("x", [replace(_row(), correct=c)], signed=True)) for c in (False, True))
    grey = [image[:, 450:].mean(axis=2) < 128 for image in (wrong, right)]
    assert (grey[0] != grey[1]).sum() > 100


def test_of_very_many_rows_only_the_first_are_drawn() -> None:
    rows = [_row(seed=n) for n in range(MAX_ROWS + 5)]
    assert _pixels(panel("x", rows, signed=False)).shape == _pixels(panel("x", rows[:MAX_ROWS], signed=False)).shape


def test_long_and_foreign_names_stay_on_the_panel() -> None:
    row = replace(_row(), label="Δοκιμή " * 30, prediction="line\nbreak", delta=None)
    pixels = _pixels(panel("a very long title " * 10, [row], signed=True))
    assert pixels[:, -4:].min() > 250


VALUES = arrays.arrays(np.float64, (4, 5), elements=st.floats(-1, 1))


@settings(deadline=None)
@given(VALUES)
def test_farther_from_zero_is_darker_and_the_sign_has_its_own_hue(values: npt.NDArray[np.float64]) -> None:
    colours = colour(values).astype(int)
    light = colours @ np.array([0.299, 0.587, 0.114])
    order = np.argsort(np.abs(values[values >= 0]))
    assert (np.diff(light[values >= 0][order]) <= 1.5).all()
    assert (colours[values > 0.1][:, 0] > colours[values > 0.1][:, 2]).all()
    assert (colours[values < -0.1][:, 0] < colours[values < -0.1][:, 2]).all()


@settings(deadline=None)
@given(VALUES)
def test_an_overlay_leaves_the_image_alone_where_the_map_is_zero(values: npt.NDArray[np.float64]) -> None:
    image = np.full((4, 5, 3), 120, dtype=np.uint8)
    assert (overlay(image, np.where(np.abs(values) < 0.5, 0.0, values))[np.abs(values) < 0.5] == 120).all()


@settings(deadline=None)
@given(arrays.arrays(np.float32, (3, 4, 4), elements=st.floats(-1000, 1000, width=32)))
def test_a_scaled_map_keeps_signs_and_reaches_one(attribution: npt.NDArray[np.float32]) -> None:
    total = attribution.astype(np.float64).sum(axis=0)
    values = scaled(attribution)
    assert np.abs(values).max() == pytest.approx(1.0 if np.abs(total).max() > 0 else 0.0)
    assert (np.sign(values) == np.sign(total)).all()
