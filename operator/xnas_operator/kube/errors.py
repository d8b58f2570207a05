"""What an API server's refusal means for the caller, as types."""

from __future__ import annotations

from xnas_core.errors import XnasError


class KubeError(XnasError):
    """The API server refused, or did not answer.

    Attributes:
        code: the HTTP status; 0 where there was no answer.
        retry_after_s: how long the server asks to wait, where it does.
    """

    reason = "KubernetesError"

    def __init__(self, message: str, code: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


class NotFoundError(KubeError):
    """404: the object, its namespace or its kind is not there."""

    reason = "NotFound"


class ConflictError(KubeError):
    """409: the caller's idea of the object is stale. Read it again."""

    reason = "Conflict"


class AlreadyExistsError(ConflictError):
    """409 on creation."""

    reason = "AlreadyExists"


class GoneError(KubeError):
    """410: the resourceVersion is too old. List again."""

    reason = "Gone"


class ForbiddenError(KubeError):
    """401 or 403; the message is the server's, which names user, verb and resource, or the policy that denied it."""

    reason = "Forbidden"


class InvalidError(KubeError):
    """400 or 422: the object breaks a rule; the message is the server's and meant for people."""

    reason = "Invalid"


class UnavailableError(KubeError):
    """429, 500 and above, no answer in time or no connection, after all retries."""

    reason = "Unavailable"
    retryable = True


def error_for(code: int, reason: str, message: str, retry_after_s: float | None = None) -> KubeError:
    """The typed error of an answer. `reason` is that of the Status object."""
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExistsError(message, code)
    if code == 429 or code >= 500:
        return UnavailableError(message, code, retry_after_s)
    types: dict[int, type[KubeError]] = {
        400: InvalidError,
        401: ForbiddenError,
        403: ForbiddenError,
        404: NotFoundError,
        409: ConflictError,
        410: GoneError,
        422: InvalidError,
    }
    return types.get(code, KubeError)(message, code)
