"""Pictures of a diagnosis: thumbnails, the suspects as a sheet, heat maps of all classes and blocks.

The same content gives the same bytes (with one version of Pillow and its font).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from xnas_core.diagnosis import Suspect
from xnas_evaluator.explain.colours import colour
from xnas_evaluator.explain.lettering import fit, font

THUMBNAIL = 32
MAX_ROWS = 16
"""Classes in the picture of heat maps."""
_GAP, _INK, _SOFT, _PAPER = 6, (20, 20, 20), (95, 95, 95), (255, 255, 255)
_TILE, _MAP, _COLUMNS = 104, 46, 6
_SHADES = 48


def thumbnail(image: npt.NDArray[np.uint8]) -> bytes:
    """Return (C, H, W) uint8 as PNG of at most 32 pixels a side and 64 colours."""
    channels = image if image.shape[0] in (1, 3) else image.mean(axis=0, keepdims=True).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(channels.transpose(1, 2, 0).squeeze()))
    scale = min(1.0, THUMBNAIL / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return _png(picture.resize(size, Image.Resampling.BOX).convert("RGB"), 64)


def suspect_sheet(suspects: Sequence[Suspect], class_names: Sequence[str]) -> bytes:
    """Return all suspects as one PNG, six a row: image, label, what the network says, position."""
    letters = font(13)
    height = 2 * _GAP + -(-len(suspects) // _COLUMNS) * (_TILE + 60)
    canvas = Image.new("RGB", (_GAP + _COLUMNS * (_TILE + 2 * _GAP), max(height, 2 * _GAP)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, suspect in enumerate(suspects):
        row, column = divmod(number, _COLUMNS)
        left, top = _GAP + column * (_TILE + 2 * _GAP), _GAP + row * (_TILE + 60)
        tile = Image.open(io.BytesIO(base64.b64decode(suspect.thumbnail))).convert("RGB")
        canvas.paste(tile.resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, top))
        place = f"train {suspect.position}" if suspect.source is None else f"image {suspect.source}"
        lines = (f"label {class_names[suspect.label]}", f"net {class_names[suspect.predicted]}", place)
        for line, text in enumerate(lines):
            ink = _SOFT if line == 2 else _INK
            draw.text((left, top + _TILE + 3 + 17 * line), fit(text, letters, _TILE), ink, letters)
    return _png(canvas, 128)


def heat_map_sheet(maps: Mapping[str, npt.NDArray[np.float32]], class_names: Sequence[str]) -> bytes:
    """Return maps (K, H, W) by block as one PNG: a row a class, a column a block.

    Each block has its own scale: the largest magnitude of its column is the darkest; orange is positive.
    """
    letters = font(12)
    names = class_names[: min(MAX_ROWS, min((len(m) for m in maps.values()), default=0))]
    left = 2 * _GAP + max((int(letters.getlength(fit(name, letters, 120))) for name in names), default=0)
    canvas = Image.new(
        "RGB", (left + max(1, len(maps)) * (_MAP + _GAP), 28 + max(1, len(names)) * (_MAP + _GAP)), _PAPER
    )
    draw = ImageDraw.Draw(canvas)
    for column, (block, values) in enumerate(maps.items()):
        x = left + column * (_MAP + _GAP)
        draw.text((x, 8), fit(block.split(".")[0], letters, _MAP + _GAP), _SOFT, letters)
        largest = float(np.abs(values[: len(names)]).max(initial=0.0)) or 1.0
        for row in range(len(names)):
            tile = Image.fromarray(colour(values[row].astype(np.float64) / largest))
            canvas.paste(tile.resize((_MAP, _MAP), Image.Resampling.NEAREST), (x, 28 + row * (_MAP + _GAP)))
    for row, name in enumerate(names):
        place = (_GAP, 28 + row * (_MAP + _GAP) + _MAP // 2 - 8)
        draw.text(place, fit(name, letters, 120), _INK, letters)
    # Shades of the map's own colours: a palette that follows the picture gives rare dark cells the colour of the text.
    shades = [tuple(shade) for shade in colour(np.linspace(-1.0, 1.0, _SHADES)).tolist()]
    return _png(canvas, len(shades), [*shades, *((grey, grey, grey) for grey in (20, 57, 95, 150, 200, 255))])


def _png(picture: Image.Image, colours: int, palette: Sequence[tuple[int, ...]] = ()) -> bytes:
    """Return the picture as PNG with the given palette, or with one of so many colours that follows it."""
    wanted = None
    if palette:
        wanted = Image.new("P", (1, 1))
        wanted.putpalette([value for shade in palette for value in shade])
    buffer = io.BytesIO()
    quantised = picture.quantize(colours, Image.Quantize.MEDIANCUT, palette=wanted, dither=Image.Dither.NONE)
    quantised.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
