"""Pictures that a page holds: PNGs as data URIs, up to a bound in all."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xnas_core.artifacts.keys import NOTES_KEYWORD
from xnas_core.errors import InvalidInputError, StoreError

EMBEDDED_LIMIT = 7_500_000
"""Bytes of pictures embedded in all (a third more as base64); the others are named by their path."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `uri` is a data URI, or "" and `why` says why it is not here. Sizes in pixels.

    `notes` are what its maker put into the file about how it was made: an explainer's parameters.
    """

    key: str
    uri: str
    why: str
    width: int
    height: int
    notes: Mapping[str, str] = field(default_factory=dict)


class Pictures:
    """Reads artifacts and embeds pictures. Whoever asks first gets the room: ask for what matters most first.

    Args:
        read: gives an artifact's content by its key; KeyError, OSError or StoreError where it is not to be had.
        limit: bytes of pictures that are embedded in all.
    """

    def __init__(self, read: Callable[[str], bytes], limit: int = EMBEDDED_LIMIT) -> None:
        self._read = read
        self._left = limit
        self.left_out = 0
        """Pictures that were left out for want of room."""

    def content(self, key: str) -> bytes | None:
        """Return the content of an artifact, or None where it cannot be read."""
        try:
            return self._read(key)
        except (KeyError, OSError, StoreError, InvalidInputError):
            return None

    def embed(self, key: str) -> Picture:
        """Return a PNG as a data URI, or why it is not here."""
        content = self.content(key)
        if content is None:
            return Picture(key, "", "the file is missing", 0, 0)
        if not content.startswith(_PNG):
            return Picture(key, "", "the file is not a PNG" if content else "the file is empty", 0, 0)
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        notes = _notes(content)
        if not self.take(len(content)):
            return Picture(key, "", "left out to keep this page small", width, height, notes)
        return Picture(key, f"data:image/png;base64,{base64.b64encode(content).decode()}", "", width, height, notes)

    def take(self, size: int) -> bool:
        """Reserve room for so many bytes; where there is not enough, count one more as left out and return False."""
        if size > self._left:
            self.left_out += 1
            return False
        self._left -= size
        return True


def _notes(content: bytes) -> dict[str, str]:
    """Return what the first text chunk of our keyword says, as text; nothing where there is none or it is damaged.

    PNG specification, section 5.3: a chunk is its length (4 bytes, big-endian), type (4), data and check sum (4).
    """
    at = len(_PNG)
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
