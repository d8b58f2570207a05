"""Errors that cross the wire: raised by backends and service, and raised again, with the same sentence, by the SDK."""

from __future__ import annotations

from xnas_core.errors import InvalidInputError, XnasError


class UnauthenticatedError(XnasError):
    """The caller did not prove who it is."""

    reason = "Unauthenticated"


class ForbiddenError(XnasError):
    """The caller may not do this."""

    reason = "Forbidden"


class NotFoundError(XnasError):
    """There is no such search, candidate or object."""

    reason = "NotFound"


class AlreadyExistsError(XnasError):
    """There is a search of that name."""

    reason = "AlreadyExists"


class NotBegunError(XnasError):
    """The search was not accepted yet, so there is nothing to show of it."""

    reason = "NotBegun"


class ChangedMeanwhileError(XnasError):
    """What the call was about has changed; look again and repeat it."""

    reason = "ChangedMeanwhile"
    retryable = True


class TooLargeError(XnasError):
    """An answer or a message would be over a bound."""

    reason = "TooLarge"


class UnavailableError(XnasError):
    """The service can't be reached, or can't answer at the moment."""

    reason = "Unavailable"
    retryable = True


class DeadlineError(XnasError):
    """No answer came in time."""

    reason = "DeadlineExceeded"
    retryable = True


class ServiceError(XnasError):
    """The service met an error that nobody foresaw; its log says which."""

    reason = "Internal"


class InvalidTokenError(InvalidInputError):
    """A page or resume token that this service did not make for this call."""

    reason = "InvalidToken"
