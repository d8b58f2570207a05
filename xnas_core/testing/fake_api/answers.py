"""Errors of the fake API server, worded and coded as the real one's Status objects are."""

from __future__ import annotations

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A Kubernetes object or a part of one. Its keys are known to the kind, not to this package."""

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """An answer that is a Status of failure."""

    def __init__(self, code: int, message: str, reason: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "Unknown")
        self.retry_after_s = retry_after_s

    def status(self) -> JsonObject:
        """The body of the answer."""
        details = {} if self.retry_after_s is None else {"details": {"retryAfterSeconds": self.retry_after_s}}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        } | details


def not_found(qualified: str, name: str) -> ApiError:
    """404 for an object."""
    return ApiError(404, f'{qualified} "{name}" not found')


def conflict(qualified: str, name: str, why: str) -> ApiError:
    """409: the caller's idea of the object is stale."""
    return ApiError(409, f'Operation cannot be fulfilled on {qualified} "{name}": {why}')


def invalid(qualified: str, name: str, why: str) -> ApiError:
    """422 for an object that breaks a rule."""
    return ApiError(422, f'{qualified} "{name}" is invalid: {why}')
