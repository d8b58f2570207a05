from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from xnas_core.tasks import generator
from xnas_evaluator.explain.side_by_side import Sample, side_by_side
from xnas_evaluator.explain.tiles import MAX_ROWS, WIDTH

TITLES = ["Integrated gradients", "Grad-CAM", "DeepLIFT", "Saliency", "Occlusion", "Layer conductance"]


def _sample(methods: int, seed: int = 0, channels: int = 1, side: int = 8) -> Sample:
    random = generator("side by side", seed)
    image = random.integers(0, 256, (channels, side, side), dtype=np.uint8)
    maps = [random.normal(size=(channels, side, side)).astype(np.float32) for _ in range(methods)]
    return Sample(image, "sneaker", "ankle boot", 0.812, False, maps)


def _pixels(png: bytes) -> npt.NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int64)


def _tiles(png: bytes) -> list[npt.NDArray[np.int64]]:
    """Return the tiles of the first line of samples, found by their frames."""
    pixels = _pixels(png)
    frame = np.abs(pixels - 200).max(axis=2) <= 8
    line = int(np.argmax(frame.sum(axis=1) > WIDTH // 4))
    below = int(np.argmax(frame[line + 1 :].sum(axis=1) > WIDTH // 4)) + line + 1
    columns = np.flatnonzero(frame[line : below + 1].all(axis=0))
    starts = columns[::2]
    return [pixels[line + 1 : below, a + 1 : b] for a, b in zip(starts, columns[1::2], strict=True)]


@pytest.mark.parametrize("methods", [1, 2, 4, 5, 9, 16])
def test_every_method_has_a_tile_beside_the_image(methods: int) -> None:
    titles = [f"{TITLES[n % len(TITLES)]} {n}" for n in range(methods)]
    samples = [_sample(methods, seed=n) for n in range(4)]
    tiles = _tiles(side_by_side(titles, samples, signed=True))
    abreast = 2 if methods <= 4 else 1
    assert len(tiles) == abreast * (methods + 1)
    assert all(tile.shape[0] >= 30 and tile.std() > 5 for tile in tiles)


def test_maps_keep_their_columns_and_their_own_scale() -> None:
    sample = _sample(3)
    plain = _tiles(side_by_side(TITLES[:3], [sample], signed=True))
    turned = replace(sample, attributions=[1000 * m for m in reversed(sample.attributions)])
    other = _tiles(side_by_side(TITLES[:3], [turned], signed=True))
    for a, b in zip(plain[1:4], other[3:0:-1], strict=True):
        assert np.abs(a - b).mean() < 2
    assert np.abs(plain[1] - plain[2]).mean() > 10


def test_the_same_gives_the_same_bytes_and_stays_small() -> None:
    samples = [_sample(6, seed=n) for n in range(20)]
    picture = side_by_side(TITLES, samples, signed=True)
    assert picture == side_by_side(TITLES, samples, signed=True)
    assert len(picture) < 100_000


def test_of_very_many_samples_the_first_are_drawn_and_it_says_so() -> None:
    samples = [_sample(2, seed=n) for n in range(MAX_ROWS + 3)]
    many, first = (_pixels(side_by_side(TITLES[:2], s, signed=True)) for s in (samples, samples[:MAX_ROWS]))
    assert many.shape == first.shape
    assert np.abs(many[:40] - first[:40]).sum() > 1000
    assert np.abs(many[60:] - first[60:]).mean() < 1


def test_a_wrong_prediction_is_told_by_more_than_colour_and_long_names_stay_within_their_sample() -> None:
    sample = _sample(2)
    long = replace(sample, label="Δοκιμή " * 30)
    pixels = _pixels(side_by_side(TITLES[:2], [long, sample], signed=True))
    assert pixels[:, -6:].min() > 250
    wrong, right = (_pixels(side_by_side(TITLES[:2], [replace(sample, correct=c)], True)) for c in (False, True))
    assert ((wrong.mean(axis=2) < 128) != (right.mean(axis=2) < 128)).sum() > 100


@pytest.mark.parametrize(("channels", "side"), [(3, 32), (2, 12), (1, 224)])
def test_images_of_any_form_are_drawn(channels: int, side: int) -> None:
    picture = _pixels(side_by_side(TITLES, [_sample(6, channels=channels, side=side)], signed=False))
    assert picture.shape[1] == WIDTH
