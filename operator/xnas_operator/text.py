"""Texts of bounded size, for status fields."""

from __future__ import annotations

import json

_MORE = "..."


def json_bytes(text: str) -> int:
    """Return the size of a text in JSON that is pure ASCII, quotes left out: the longest form that anyone sends."""
    return len(json.dumps(text)) - 2


def cut(text: str, most: int) -> str:
    """Return a text as one line of at most so many bytes (see `json_bytes`), "..." at the end if some is missing.

    Args:
        text: any text; runs of white space become one space.
        most: bytes, at least 3.
    """
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    if json_bytes(line) <= most:
        return line
    room, end = most - len(_MORE), 0
    while end < len(line) and (room := room - json_bytes(line[end])) >= 0:
        end += 1
    return line[:end].rstrip() + _MORE
