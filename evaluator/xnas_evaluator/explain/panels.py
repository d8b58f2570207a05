"""A picture for each method: one row a sample, with image, attribution, overlay and what the network said.

720 pixels wide with 23-pixel text, so that it can be read on a phone that shows it at half size. The same
content gives the same bytes (with one version of Pillow and its font).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from xnas_evaluator.explain.colours import colour, overlay, scaled
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

_TILE = 136
_HEADER = 78


@dataclass(frozen=True)
class Row:
    """One explained image.

    Attributes:
        image: (C, H, W) uint8, one or three channels.
        attribution: (C, H, W) or (1, H, W) float32.
        label: name of the true class.
        prediction: name of the predicted class, which is the explained one.
        probability: softmax probability of the prediction.
        correct: whether prediction and label are one class.
        delta: completeness delta, or None.
    """

    image: npt.NDArray[np.uint8]
    attribution: npt.NDArray[np.float32]
    label: str
    prediction: str
    probability: float
    correct: bool
    delta: float | None


def panel(title: str, rows: Sequence[Row], signed: bool, parameters: Mapping[str, object] | None = None) -> bytes:
    """Return the picture as PNG; of more than MAX_ROWS rows the first are drawn and the title says so.

    Args:
        title: the method, in a few words.
        rows: at least one.
        signed: whether attributions may be negative (legend with two ends).
        parameters: of the method; not drawn, but kept in the file (see `encoded`).
    """
    shown = rows[:MAX_ROWS]
    height = _HEADER + len(shown) * (_TILE + GAP) + LEGEND_HEIGHT
    canvas = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    face, small = font(TEXT), font(SMALL)
    if len(shown) < len(rows):
        title = f"{title} ({len(shown)} of {len(rows)} samples)"
    draw.text((GAP, 8), fit(title, face, WIDTH - 2 * GAP), INK, face)
    for column, caption in enumerate(("image", "attribution", "overlay", " true class, prediction")):
        draw.text((GAP + column * (_TILE + GAP), 44), caption, SOFT, small)
    for number, row in enumerate(shown):
        _draw_row(canvas, draw, row, _HEADER + number * (_TILE + GAP), face)
    legend(canvas, draw, height - 36, signed, "scaled by row")
    return encoded(canvas, grey=all(row.image.shape[0] == 1 for row in shown), notes=parameters)


def _draw_row(canvas: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int, face: ImageFont.FreeTypeFont) -> None:
    image, values = rgb(row.image), scaled(row.attribution)
    for column, tile in enumerate((image, colour(values), overlay(image, values))):
        place(canvas, draw, tile, (GAP + column * (_TILE + GAP), top), _TILE)
    left = GAP + 3 * (_TILE + GAP) + 4
    lines = [(row.label, INK)]
    if row.correct:
        lines.append((f"right, {row.probability:.1%}", SOFT))
    else:
        # A word, not only a colour, says that it is wrong.
        lines += [("wrong:", WRONG), (f"{row.prediction}, {row.probability:.1%}", WRONG)]
    if row.delta is not None:
        lines.append((f"delta {row.delta:+.2g}", SOFT))
    for number, (text, ink) in enumerate(lines):
        draw.text((left, top + 4 + number * 31), fit(text, face, WIDTH - left - GAP), ink, face)
