"""Text in pictures: one font for all of them, and text that is cut where it does not fit."""

from __future__ import annotations

from importlib.resources import as_file, files

from PIL import ImageFont


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, `size` pixels high: it comes with matplotlib and has Greek and Cyrillic for class names."""
    with as_file(files("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf") as path:
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def fit(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text on one line, cut with an ellipsis where it is wider than `width` pixels."""
    line = " ".join(text.split())
    if letters.getlength(line) <= width:
        return line
    while line and letters.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
