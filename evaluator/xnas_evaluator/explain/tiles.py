"""What pictures of explanations are made of: tiles of pixels, the legend of the colours, PNG."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from xnas_core.artifacts.png_notes import NOTES_KEYWORD
from xnas_evaluator.explain.colours import colour
from xnas_evaluator.explain.lettering import fit, font

WIDTH = 720
MAX_ROWS = 40
GAP, TEXT, SMALL = 8, 23, 21
INK, SOFT, WRONG, PAPER, FRAME = (20, 20, 20), (95, 95, 95), (170, 50, 0), (255, 255, 255), (200, 200, 200)
LEGEND_HEIGHT = 44


def place(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, tile: npt.NDArray[np.uint8], at: tuple[int, int], side: int
) -> None:
    """Paste an (h, w, 3) tile, enlarged to `side` pixels, with a frame."""
    left, top = at
    canvas.paste(enlarged(tile, side), at)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=FRAME)


def legend(canvas: Image.Image, draw: ImageDraw.ImageDraw, top: int, signed: bool, scaled_by: str) -> None:
    """Draw what the colours mean; `scaled_by` says what has a largest value of its own."""
    small = font(SMALL)
    ramp = np.linspace(-1.0 if signed else 0.0, 1.0, 220)[None, :].repeat(24, axis=0)
    left_text, right_text = ("against", f"for the class; {scaled_by}") if signed else ("none", f"most; {scaled_by}")
    draw.text((GAP, top - 1), left_text, SOFT, small)
    left = GAP + int(small.getlength(left_text)) + 8
    canvas.paste(Image.fromarray(colour(ramp)), (left, top))
    left += 220 + 8
    draw.text((left, top - 1), fit(right_text, small, WIDTH - left - GAP), SOFT, small)


def encoded(canvas: Image.Image, grey: bool, notes: Mapping[str, object] | None = None) -> bytes:
    """Return the picture as PNG; `grey`: every image in it has one channel.

    `notes` go into the file as JSON, in a text chunk of the keyword NOTES_KEYWORD, for whoever shows the picture.

    A palette makes the file a third as large. The octree is five times as fast, but coarse in colour photographs.
    """
    method = Image.Quantize.FASTOCTREE if grey else Image.Quantize.MEDIANCUT
    buffer = io.BytesIO()
    text = PngInfo()
    if notes:
        text.add_text(NOTES_KEYWORD, json.dumps(dict(notes)))
    canvas.quantize(256, method, dither=Image.Dither.NONE).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def rgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) from (C, H, W); of other than one or three channels the mean is shown."""
    channels = image if image.shape[0] in (1, 3) else image.mean(axis=0, keepdims=True).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(channels.transpose(1, 2, 0), (*image.shape[1:], 3)))


def enlarged(tile: npt.NDArray[np.uint8], side: int) -> Image.Image:
    """Return the tile at most `side` pixels a side, its pixels kept as squares, on a grey ground if not square."""
    height, width = tile.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    ground = Image.new("RGB", (side, side), (225, 225, 225))
    ground.paste(Image.fromarray(tile).resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    return ground
