"""What a picture says of itself: a text chunk in the PNG file, with the parameters of the explainer that made it."""

from __future__ import annotations

import json
import struct

PNG = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins."""
NOTES_KEYWORD = "xnas-parameters"
"""Keyword of the text chunk; its text is a JSON object."""


def read_notes(content: bytes) -> dict[str, str]:
    """Return what the first text chunk of our keyword says, as text; nothing where there is none or it is damaged.

    PNG specification, section 5.3: a chunk is its length (4 bytes, big-endian), type (4), data and check sum (4).
    """
    at = len(PNG)
    while at + 8 <= len(content):
        (length,), kind = struct.unpack_from(">I", content, at), content[at + 4 : at + 8]
        keyword, _, text = content[at + 8 : at + 8 + length].partition(b"\0")
        if kind == b"tEXt" and keyword == NOTES_KEYWORD.encode():
            return _texts(text)
        if kind == b"IDAT":  # notes come before the pixels
            break
        at += length + 12
    return {}


def _texts(document: bytes) -> dict[str, str]:
    try:
        found = json.loads(document)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    plain = {name: value for name, value in found.items() if isinstance(value, str | int | float)}
    return {name[:60]: _text(value)[:200] for name, value in plain.items()}


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
