"""What a store's refusals mean, in words: a StoreError says what is wrong and what to change."""

from __future__ import annotations

import re

from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)

from xnas_core.errors import StoreError

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9]{1,64})\s*</Code>")

_ADVICE = {
    "NoSuchBucket": "create the bucket, or set the store's bucket to one that exists",
    "InvalidBucketName": "set the store's bucket to the name of one that exists",
    "InvalidAccessKeyId": "check the access key",
    "XAdminUserNotFound": "check the access key",
    "SignatureDoesNotMatch": "check the secret key and the region",
    "AccessDenied": "let this access key read, write, list and delete objects in this bucket",
    "RequestTimeTooSkewed": "set the clocks of this machine and of the store",
    "AuthorizationHeaderMalformed": "check the region",
    "PermanentRedirect": "the bucket is in another region; check region and endpoint",
    "EntityTooLarge": "the store takes no object of this size",
    "BadDigest": "the content was altered on its way; check the network",
    "XMinioStorageFull": "the store is full; free some space",
    "QuotaExceeded": "the bucket's quota is used up; free some space",
}
"""S3's error code -> what to change."""


class AccessRefusedError(StoreError):
    """The store does not let us: wrong keys or rights, or a presigned URL that has expired."""

    reason = "StoreAccessRefused"


def code_of(content: bytes) -> str:
    """Return S3's error code of an answer's content; "" if there is none."""
    found = _CODE.search(content[:65536])
    return found.group(1).decode() if found else ""


def refused(action: str, what: str, status: int, code: str) -> StoreError:
    """Return the error for an answer that is not a success.

    Args:
        action: a verb: "read".
        what: the object or bucket, as a person knows it, without any signature.
        status: HTTP status.
        code: S3's error code; "" if unknown.
    """
    made = AccessRefusedError if status in (401, 403) else StoreError
    return made(f"cannot {action} {what}: the store answered {f'{status} {code}'.strip()}; {_advice(status, code)}")


def unreachable(action: str, what: str, error: HTTPError) -> StoreError:
    """Return the error for a request that got no whole answer."""
    if isinstance(error, SSLError):
        text = "its certificate is not trusted here; set the store's CA file, or its endpoint to the certificate's name"
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            text = "TLS failed; check whether the endpoint speaks https"
        text += f" ({_short(error)})"
    elif isinstance(error, NameResolutionError):
        text = "its name is unknown here; check the store's endpoint"
    elif isinstance(error, NewConnectionError):
        text = "nothing answers there; check the store's endpoint and whether the store runs"
    elif isinstance(error, TimeoutError):
        text = "it did not answer in time; check the store and the network"
    elif isinstance(error, ProtocolError):
        text = f"the connection broke; check the store and the network ({_short(error)})"
    else:
        # Not the error's own words: urllib3 puts whole URLs into some of them.
        text = f"the connection broke ({type(error).__name__}); check the store and the network"
    return StoreError(f"cannot {action} {what}: {text}")


def _short(error: HTTPError) -> str:
    return str(error)[:200]


def _advice(status: int, code: str) -> str:
    if code in _ADVICE:
        return _ADVICE[code]
    if status >= 500 or status in (408, 409, 429):
        return "the store is in trouble or overloaded; look at its log"
    if status in (401, 403):
        return _ADVICE["AccessDenied"]
    if status in (301, 302, 307, 308):
        return _ADVICE["PermanentRedirect"]
    return "check the store's settings" if code else "check that the endpoint is an S3 store"
