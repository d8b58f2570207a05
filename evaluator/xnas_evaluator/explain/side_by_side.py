"""One picture of all methods: a row a sample, a column a method. Where they differ, do not believe one of them alone.

Each map is scaled to its own largest value: units differ between methods, patterns can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from xnas_evaluator.explain.colours import colour, scaled
from xnas_evaluator.explain.lettering import fit, font
from xnas_evaluator.explain.tiles import (
    GAP,
    INK,
    LEGEND_HEIGHT,
    MAX_ROWS,
    PAPER,
    SMALL,
    SOFT,
    TEXT,
    WIDTH,
    WRONG,
    encoded,
    legend,
    place,
    rgb,
)

_LARGEST_TILE = 136
_MOST_TILES_IN_TWO = 10
"""Where two samples have no more tiles than that together, they share a line: half the height, and large enough."""
_LINE = 30


@dataclass(frozen=True)
class Sample:
    """One explained image.

    Attributes:
        image: (C, H, W) uint8.
        label: name of the true class.
        prediction: name of the predicted class, which is the explained one.
        probability: softmax probability of the prediction.
        correct: whether they are one class.
        attributions: for each method (C, H, W) or (1, H, W) float32.
    """

    image: npt.NDArray[np.uint8]
    label: str
    prediction: str
    probability: float
    correct: bool
    attributions: Sequence[npt.NDArray[np.float32]]


def side_by_side(titles: Sequence[str], samples: Sequence[Sample], signed: bool) -> bytes:
    """Return the picture as PNG, 720 pixels wide; of more than MAX_ROWS samples the first are drawn, and it says so.

    Args:
        titles: of the methods, in the order of each sample's attributions; at least one.
        samples: at least one.
        signed: whether any attribution is negative (legend with two ends).
    """
    shown = samples[:MAX_ROWS]
    tiles = len(titles) + 1
    abreast = 2 if 2 * tiles <= _MOST_TILES_IN_TWO else 1
    tile = min(_LARGEST_TILE, (WIDTH - GAP) // (abreast * tiles) - GAP)
    width = tiles * (tile + GAP)
    captions, lines = _headings(titles, tile)
    header = 44 + _LINE * len(lines) + _LINE
    height = header + ceil(len(shown) / abreast) * (_LINE + tile + GAP) + LEGEND_HEIGHT
    canvas = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    face, small = font(TEXT), font(SMALL)
    title = f"{len(titles)} methods side by side"
    if len(shown) < len(samples):
        title += f" ({len(shown)} of {len(samples)} samples)"
    draw.text((GAP, 8), fit(title, face, WIDTH - 2 * GAP), INK, face)
    for number, line in enumerate(lines):
        draw.text((GAP, 44 + number * _LINE), line, SOFT, small)
    for column, caption in enumerate(("image", *captions) * min(abreast, len(shown))):
        draw.text((GAP + column * (tile + GAP), header - _LINE + 2), fit(caption, small, tile + GAP), SOFT, small)
    for number, sample in enumerate(shown):
        row, place_in_row = divmod(number, abreast)
        at = GAP + place_in_row * width, header + row * (_LINE + tile + GAP)
        _draw_sample(canvas, draw, sample, at, tile, width if abreast > 1 else WIDTH - 2 * GAP)
    legend(canvas, draw, height - 36, signed, "scaled by map")
    return encoded(canvas, grey=all(sample.image.shape[0] == 1 for sample in shown))


def _headings(titles: Sequence[str], tile: int) -> tuple[list[str], list[str]]:
    """Return the columns' captions, and lines that explain them: where titles don't fit, columns are numbered."""
    small = font(SMALL)
    if all(small.getlength(title) <= tile for title in titles):
        return list(titles), []
    lines: list[str] = []
    for number, title in enumerate(titles, 1):
        word = fit(f"{number} {title}", small, WIDTH - 2 * GAP)
        if lines and small.getlength(f"{lines[-1]}   {word}") <= WIDTH - 2 * GAP:
            lines[-1] += f"   {word}"
        else:
            lines.append(word)
    return [str(number) for number in range(1, len(titles) + 1)], lines


def _draw_sample(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, sample: Sample, at: tuple[int, int], tile: int, width: int
) -> None:
    left, top = at
    small = font(SMALL)
    # A word, not only a colour, says that it is wrong.
    said = "right" if sample.correct else f"wrong: {sample.prediction}"
    ink = INK if sample.correct else WRONG
    draw.text(at, fit(f"{sample.label} — {said}, {sample.probability:.1%}", small, width), ink, small)
    tiles = (rgb(sample.image), *(colour(scaled(attribution)) for attribution in sample.attributions))
    for column, pixels in enumerate(tiles):
        place(canvas, draw, pixels, (left + column * (tile + GAP), top + _LINE), tile)
