"""Where an S3 store is, and how it is spoken to. Knows no SDK, so that everyone may hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from xnas_core.artifacts.keys import check_key
from xnas_core.artifacts.transport import Patience
from xnas_core.errors import InvalidInputError

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_REGION = re.compile(r"^[A-Za-z0-9_-]{1,63}$")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """One bucket, or a part of it.

    Attributes:
        endpoint: http(s)://host[:port], as the operator and the evaluators inside the cluster see it.
        bucket: its name; it must exist.
        access_key: name of the key.
        secret_key: never shown.
        region: always set, so that signing needs no network.
        external_endpoint: the same store as seen from outside the cluster; None: not reachable from there.
        prefix: all keys lie below it; "" or "a/b".
        ca_file: certificates to trust; None: the system's.
        patience: limits of each call.

    Raises:
        InvalidInputError: a value is not possible.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    external_endpoint: str | None = None
    prefix: str = ""
    ca_file: str | None = None
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint", _endpoint(self.endpoint))
        if self.external_endpoint is not None:
            object.__setattr__(self, "external_endpoint", _endpoint(self.external_endpoint))
        if not _BUCKET.match(self.bucket):
            raise InvalidInputError(
                f"{self.bucket!r} is not a bucket's name: use 3 to 63 small letters, digits, '.' and '-'"
            )
        if not _REGION.match(self.region):
            raise InvalidInputError(f"{self.region!r} is not a region; 'us-east-1' is right for most stores")
        if not self.access_key or not self.secret_key:
            raise InvalidInputError("the store's access key or secret key is empty; set both")
        object.__setattr__(self, "prefix", self.prefix.strip("/"))
        if self.prefix:
            check_key(self.prefix)

    def below(self, prefix: str) -> S3Settings:
        """Return the settings of a part of this part.

        Raises:
            InvalidInputError: the prefix is not a plain relative path.
        """
        return replace(self, prefix="/".join(filter(None, (self.prefix, check_key(prefix.strip("/"))))))

    @property
    def uri(self) -> str:
        """s3://bucket/prefix, for people."""
        return f"s3://{'/'.join(filter(None, (self.bucket, self.prefix)))}"


def _endpoint(text: str) -> str:
    url = urlsplit(text.rstrip("/"))
    try:
        whole = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        whole = False
    if not whole or url.path or url.query or url.fragment or "@" in url.netloc:
        raise InvalidInputError(f"{text!r} is not a store's endpoint: write http://host:port or https://host")
    return f"{url.scheme}://{url.netloc}"
