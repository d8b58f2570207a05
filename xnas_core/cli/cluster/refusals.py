"""What the Kubernetes API refuses, or does not answer, as our errors with a sentence that says what to do."""

from __future__ import annotations

import json
import ssl
from typing import Any

from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.service.errors import (
    AlreadyExistsError,
    ChangedMeanwhileError,
    DeadlineError,
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)

_LONGEST = 1500


def refusal(host: str, code: int, body: bytes) -> XnasError:
    """Return the error for an answer of 400 or more."""
    status = _status(body)
    said = str(status.get("message") or body[:300].decode(errors="replace").strip() or f"code {code}")[:_LONGEST]
    if code == 401:
        return UnauthenticatedError(
            f"{host} does not accept your login, which may have expired; log in again, or choose another --context"
        )
    if code == 403:
        return ForbiddenError(f"the cluster does not allow it: {said}; ask its administrator for that right")
    if code == 404:
        if "could not find the requested resource" in said:
            return NotFoundError(
                f"XNAS is not installed on the cluster at {host}: it knows no searches; see docs/installation.md"
            )
        return NotFoundError(said)
    if code == 409:
        exists = status.get("reason") == "AlreadyExists" or "already exists" in said
        return (AlreadyExistsError if exists else ChangedMeanwhileError)(said)
    if code in (400, 422):
        return InvalidInputError(f"the cluster refuses it: {_causes(status) or said}")
    if code == 410:
        return ChangedMeanwhileError("what was listed has changed meanwhile; run the command again")
    return UnavailableError(f"the cluster at {host} can't answer now ({code}): {said}; try again")


def unreachable(host: str, error: Exception) -> XnasError:
    """Return the error for a request without an answer."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    if any(isinstance(link, ssl.SSLCertVerificationError) for link in chain):
        return UnavailableError(
            f"the certificate of the cluster at {host} is not the one that the kubeconfig expects; is it out of date?"
        )
    if type(error).__name__ in ("ReadTimeoutError", "ConnectTimeoutError") or isinstance(error, TimeoutError):
        return DeadlineError(f"the cluster at {host} did not answer in time; is it reachable from here?")
    root = next((link for link in chain if isinstance(link, OSError) and link.strerror), error)
    why = root.strerror if isinstance(root, OSError) and root.strerror else str(error)
    return UnavailableError(f"the cluster at {host} can't be reached: {why[:300]}; is it up, and the right --context?")


def _status(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _causes(status: dict[str, Any]) -> str:
    """Return the causes of a refused object: the rules' own sentences, by field, without what surrounds them."""
    causes = (status.get("details") or {}).get("causes") or ()
    sentences = []
    for cause in causes:
        message = str(cause.get("message") or "")
        # "Invalid value: "object": SENTENCE": the value of a rule about an object says nothing.
        for start in ('Invalid value: "object": ', "Invalid value: null: "):
            message = message.removeprefix(start)
        field = str(cause.get("field") or "")
        sentences.append(f"{field}: {message}" if field not in ("", "<nil>") else message)
    return "; ".join(sentences)[:_LONGEST]
