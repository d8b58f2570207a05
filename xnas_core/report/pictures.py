"""Pictures that a page holds: PNGs as data URIs, up to a bound in all."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xnas_core.artifacts.png_notes import PNG, read_notes
from xnas_core.errors import InvalidInputError, StoreError

EMBEDDED_LIMIT = 7_500_000
"""Bytes of pictures embedded in all (a third more as base64); the others are named by their path."""


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
        if not content.startswith(PNG):
            return Picture(key, "", "the file is not a PNG" if content else "the file is empty", 0, 0)
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        notes = read_notes(content)
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
