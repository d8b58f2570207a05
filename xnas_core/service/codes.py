"""Our errors and gRPC's codes: one table, read by the service and, backwards, by the SDK."""

from __future__ import annotations

import grpc

from xnas_core.errors import IntegrityError, InvalidInputError, StoreError, UnknownNameError, XnasError
from xnas_core.service import errors as e
from xnas_core.service.wire import UnreadableMessageError

REASON_KEY = "xnas-reason"
"""Trailing metadata with the error's reason, one word for machines."""
SENTENCE_BYTES = 6000
"""Bound of a sentence on the wire, where headers have one, too: gRPC takes 8 KiB of them."""

TABLE: tuple[tuple[type[XnasError], grpc.StatusCode], ...] = (
    (e.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (e.ForbiddenError, grpc.StatusCode.PERMISSION_DENIED),
    (e.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (e.AlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (e.NotBegunError, grpc.StatusCode.FAILED_PRECONDITION),
    (e.ChangedMeanwhileError, grpc.StatusCode.ABORTED),
    (e.TooLargeError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (e.UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (e.DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (InvalidInputError, grpc.StatusCode.INVALID_ARGUMENT),
    (e.InvalidTokenError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnreadableMessageError, grpc.StatusCode.INVALID_ARGUMENT),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
    (IntegrityError, grpc.StatusCode.DATA_LOSS),
    (e.ServiceError, grpc.StatusCode.INTERNAL),
)
"""The first class of a code is what stands for it where no reason came with it."""

_BY_REASON = {kind.reason: kind for kind, _ in TABLE}


def code_of(error: XnasError) -> grpc.StatusCode:
    """Return the code that an error is answered with."""
    return next((code for kind, code in TABLE if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def sentence_of(error: XnasError) -> str:
    """Return the error's words, within the bound."""
    # JSON can carry lone surrogates, which no encoding takes.
    text = str(error).encode(errors="replace").decode()
    total = 0
    for place, character in enumerate(text):
        # gRPC writes all but printable ASCII as three bytes for each byte.
        plain = " " <= character <= "~" and character != "%"
        total += 1 if plain else 3 * len(character.encode())
        if total > SENTENCE_BYTES:
            return text[:place] + "…"
    return text


def error_of(code: grpc.StatusCode, sentence: str, reason: str) -> XnasError:
    """Return the error that was answered: of the class of its reason, else of its code's.

    Args:
        code: the call's status.
        sentence: its details.
        reason: the trailing metadata's, or "".
    """
    # One is made from parts that are not sent; the other means a store of one's own, which a caller has not got here.
    stands_for = {UnknownNameError.reason: InvalidInputError.reason, StoreError.reason: e.UnavailableError.reason}
    kind = _BY_REASON.get(stands_for.get(reason, reason))
    # A proxy in between may answer by itself; then the code alone counts.
    if kind is None or dict(TABLE)[kind] is not code:
        kind = next((known for known, its_code in TABLE if its_code is code), e.ServiceError)
    return kind(sentence or f"the call ended with {code.name}")
