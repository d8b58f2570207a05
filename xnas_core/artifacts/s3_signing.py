"""Presigned URLs: signing needs the keys and a clock, and never the network."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from minio import Minio

from xnas_core.artifacts.keys import check_key
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.transport import Transport
from xnas_core.errors import InvalidInputError

_MAX_NAME_BYTES = 1024
"""S3's bound of an object's whole name."""


def client(settings: S3Settings, transport: Transport | None = None, *, external: bool = False) -> Minio:
    """Return the SDK's client for the inside or the external endpoint.

    Raises:
        InvalidInputError: the external endpoint is not set.
    """
    endpoint = settings.external_endpoint if external else settings.endpoint
    if endpoint is None:
        raise InvalidInputError("the store has no external endpoint; set it, for evaluators outside the cluster")
    url = urlsplit(endpoint)
    return Minio(
        url.netloc,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        secure=url.scheme == "https",
        region=settings.region,
        http_client=transport or Transport(settings.patience, settings.ca_file),
    )


class Signer:
    """Signs URLs of objects below the settings' prefix. Safe to call from any thread; takes well under a millisecond.

    Args:
        settings: where the objects are, and the keys to sign with.
        external: make URLs for the external endpoint.
        seconds: how long a URL holds; it must hold when a request begins, not when it ends. At most seven days.

    Raises:
        InvalidInputError: the external endpoint is asked for and not set.
    """

    def __init__(self, settings: S3Settings, *, external: bool = False, seconds: int = 900) -> None:
        self._client = client(settings, external=external)
        self._settings = settings
        self._expires = timedelta(seconds=seconds)

    def below(self, prefix: str) -> Signer:
        """Return a signer for a part; see S3Settings.below."""
        part = copy.copy(self)
        part._settings = self._settings.below(prefix)
        return part

    def elsewhere(self, bucket: str) -> Signer:
        """Return a signer for all of another bucket of this store; raise InvalidInputError for an impossible name."""
        other = copy.copy(self)
        other._settings = replace(self._settings, bucket=bucket, prefix="")
        return other

    def sign(self, method: str, key: str) -> str:
        """Return a URL for one method and one object.

        Raises:
            InvalidInputError: the key is not a plain relative path, or too long below this prefix.
        """
        return self._client.get_presigned_url(
            method, self._settings.bucket, object_name(self._settings, key), self._expires
        )


def object_name(settings: S3Settings, key: str) -> str:
    """Return the object's name in the bucket; raise InvalidInputError for a key that is not plain or too long."""
    name = "/".join(filter(None, (settings.prefix, check_key(key))))
    if len(name) > _MAX_NAME_BYTES:
        raise InvalidInputError(f"{name[:100]}… has {len(name)} characters; S3 takes at most {_MAX_NAME_BYTES}")
    return name
