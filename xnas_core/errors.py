"""Errors as data: each says what is wrong, whether a retry can help and what the user should change."""

from __future__ import annotations

from collections.abc import Sequence


class XnasError(Exception):
    """Base of all errors that a user may see.

    Attributes:
        reason: one CamelCase word for machines (a condition reason, an exit class).
        retryable: whether the same call may succeed later without a change.
    """

    reason = "Error"
    retryable = False


class InvalidInputError(XnasError):
    """The input is wrong; the message says what to change."""

    reason = "InvalidInput"


class UnknownNameError(InvalidInputError):
    """A name that nothing is registered under."""

    reason = "UnknownName"

    def __init__(self, what: str, name: str, known: Sequence[str], suggestion: str | None = None) -> None:
        hint = f"; did you mean {suggestion!r}?" if suggestion else ""
        super().__init__(f"unknown {what} {name!r}{hint} (known: {', '.join(known) or 'none'})")
        self.name = name
        self.suggestion = suggestion


class IntegrityError(XnasError):
    """A stored object is torn, altered or alien. The message names it."""

    reason = "Integrity"


class StoreError(XnasError):
    """The artifact store could not do what was asked."""

    reason = "StoreUnavailable"
    retryable = True


class LostOwnershipError(XnasError):
    """Another engine has taken this search over; this one must stop (protocol.md §5.2)."""

    reason = "LostOwnership"
