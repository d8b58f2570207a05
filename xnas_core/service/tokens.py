"""Opaque tokens: where a page or a watch goes on. They hold no secrets and are checked like any other input."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from xnas_core.service.errors import InvalidTokenError

_MAX_LENGTH = 2048


def encode(kind: str, *parts: Any) -> str:
    """Return a token of a kind over JSON values."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, *parts])).decode().rstrip("=")


def decode(kind: str, token: str, types: tuple[type | tuple[type, ...], ...]) -> list[Any]:
    """Return the values of a token, after their types were checked.

    Raises:
        InvalidTokenError: it is not a token of this kind.
    """
    try:
        if len(token) > _MAX_LENGTH:
            raise ValueError("too long")
        parts = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        if not isinstance(parts, list) or len(parts) != len(types) + 1 or parts[0] != kind:
            raise ValueError("another kind")
        for part, wanted in zip(parts[1:], types, strict=True):
            if not isinstance(part, wanted) or isinstance(part, bool):
                raise TypeError("a part of another type")
    except (ValueError, TypeError) as error:
        raise InvalidTokenError(
            f"{token[:40]!r} is not a {kind} token of this service; leave it out to start from the beginning"
        ) from error
    return parts[1:]


def digest(*parts: Any) -> str:
    """Return a short digest of JSON values."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]
