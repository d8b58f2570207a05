"""A picture for each method: one row a sample, with image, attribution, overlay and what the network said.

720 pixels wide with 23-pixel text, so that it can be read on a phone that shows it at half size. The same
content gives the same bytes (with one version of Pillow and its font).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from xnas_evaluator.explain.colours import colour, overlay, scaled
from xnas_evaluator.explain.lettering import fit, font

WIDTH = 720
MAX_ROWS = 40
_TILE, _GAP, _TEXT = 136, 8, 23
_HEADER = 78
_INK, _SOFT, _PAPER = (20, 20, 20), (95, 95, 95), (255, 255, 255)


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


def panel(title: str, rows: Sequence[Row], signed: bool) -> bytes:
    """Return the picture as PNG; of more than MAX_ROWS rows the first are drawn and the title says so.

    Args:
        title: the method, in a few words.
        rows: at least one.
        signed: whether attributions may be negative (legend with two ends).
    """
    shown = rows[:MAX_ROWS]
    height = _HEADER + len(shown) * (_TILE + _GAP) + 44
    canvas = Image.new("RGB", (WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    letters, small = font(_TEXT), font(21)
    if len(shown) < len(rows):
        title = f"{title} ({len(shown)} of {len(rows)} samples)"
    draw.text((_GAP, 8), fit(title, letters, WIDTH - 2 * _GAP), _INK, letters)
    for column, caption in enumerate(("image", "attribution", "overlay", " true class, prediction")):
        draw.text((_GAP + column * (_TILE + _GAP), 44), caption, _SOFT, small)
    for number, row in enumerate(shown):
        _draw_row(canvas, draw, row, _HEADER + number * (_TILE + _GAP), letters)
    _draw_legend(canvas, draw, height - 36, signed, small)
    # A palette makes the file a third as large. The octree is five times as fast, but coarse in colour photographs.
    grey = all(row.image.shape[0] == 1 for row in shown)
    method = Image.Quantize.FASTOCTREE if grey else Image.Quantize.MEDIANCUT
    buffer = io.BytesIO()
    canvas.quantize(256, method, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()


def _draw_row(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int, letters: ImageFont.FreeTypeFont
) -> None:
    image, values = _rgb(row.image), scaled(row.attribution)
    for column, tile in enumerate((image, colour(values), overlay(image, values))):
        left = _GAP + column * (_TILE + _GAP)
        canvas.paste(_enlarged(tile), (left, top))
        draw.rectangle((left - 1, top - 1, left + _TILE, top + _TILE), outline=(200, 200, 200))
    left = _GAP + 3 * (_TILE + _GAP) + 4
    lines = [(row.label, _INK)]
    if row.correct:
        lines.append((f"right, {row.probability:.1%}", _SOFT))
    else:
        # A word, not only a colour, says that it is wrong.
        lines += [("wrong:", (170, 50, 0)), (f"{row.prediction}, {row.probability:.1%}", (170, 50, 0))]
    if row.delta is not None:
        lines.append((f"delta {row.delta:+.2g}", _SOFT))
    for number, (text, ink) in enumerate(lines):
        draw.text((left, top + 4 + number * 31), fit(text, letters, WIDTH - left - _GAP), ink, letters)


def _draw_legend(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, top: int, signed: bool, letters: ImageFont.FreeTypeFont
) -> None:
    ramp = np.linspace(-1.0 if signed else 0.0, 1.0, 220)[None, :].repeat(24, axis=0)
    left_text, right_text = ("against", "for the class; scaled by row") if signed else ("none", "most; scaled by row")
    draw.text((_GAP, top - 1), left_text, _SOFT, letters)
    left = _GAP + int(letters.getlength(left_text)) + 8
    canvas.paste(Image.fromarray(colour(ramp)), (left, top))
    left += 220 + 8
    draw.text((left, top - 1), fit(right_text, letters, WIDTH - left - _GAP), _SOFT, letters)


def _rgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) from (C, H, W); of other than one or three channels the mean is shown."""
    channels = image if image.shape[0] in (1, 3) else image.mean(axis=0, keepdims=True).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(channels.transpose(1, 2, 0), (*image.shape[1:], 3)))


def _enlarged(tile: npt.NDArray[np.uint8]) -> Image.Image:
    """Return the tile at most _TILE pixels a side, its pixels kept as squares, on a grey ground if not square."""
    height, width = tile.shape[:2]
    scale = _TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    ground = Image.new("RGB", (_TILE, _TILE), (225, 225, 225))
    ground.paste(Image.fromarray(tile).resize(size, how), ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return ground
