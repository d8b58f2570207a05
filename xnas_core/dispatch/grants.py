"""Access to single objects of the store (protocol.md §6.9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xnas_core.artifacts.keys import check_key
from xnas_core.errors import InvalidInputError
from xnas_core.s3_address import S3Address

if TYPE_CHECKING:
    from xnas_core.artifacts.s3_settings import S3Settings
    from xnas_core.artifacts.s3_signing import Signer

GRANT_SECONDS = 600
"""How long a presigned URL holds. A worker asks for it right before it begins the request; repetitions fit in too."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Access to one object: a file of this machine, or a presigned URL. Exactly one is set."""

    path: str | None = None
    url: str | None = None


class GrantSource(Protocol):
    """Makes grants. Whether the evaluator may have the object was checked before."""

    def grant(self, key: str, *, write: bool, outside: bool = False) -> Grant:
        """Return access to one object, to write (create or replace) or to read.

        Must not block: signing needs no network.

        Args:
            outside: the evaluator is none of the cluster's pods, so it may see the store under another address.
        """
        ...


class FolderGrants:
    """Grants of one machine: files below the output folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def grant(self, key: str, *, write: bool, outside: bool = False) -> Grant:
        """See GrantSource.grant; the same file for both verbs."""
        del write, outside
        return Grant(path=str(self._root / check_key(key)))


class S3Grants:
    """Grants of a cluster: presigned URLs, each for one verb and one object. Signing needs no network.

    Args:
        settings: the store; its prefix is the search's root.
        seconds: how long a URL holds.
    """

    def __init__(self, settings: S3Settings, *, seconds: int = GRANT_SECONDS) -> None:
        self._signers = _Signers(settings, seconds)

    def grant(self, key: str, *, write: bool, outside: bool = False) -> Grant:
        """See GrantSource.grant."""
        return Grant(url=self._signers.of(outside).sign("PUT" if write else "GET", key))


class _Signers:
    """Signs for the endpoint that evaluators inside the cluster see, or for the external one, if there is one."""

    def __init__(self, settings: S3Settings, seconds: int) -> None:
        # Here, since one machine has no S3 store and no SDK installed.
        from xnas_core.artifacts.s3_signing import Signer

        self._inside = self._outside = Signer(settings, seconds=seconds)
        if settings.external_endpoint is not None:
            self._outside = Signer(settings, external=True, seconds=seconds)

    def of(self, outside: bool) -> Signer:
        return self._outside if outside else self._inside


class DataGrantSource(Protocol):
    """Makes grants to read a search's data set. That the address is the one in the accepted spec was checked before."""

    def grant(self, uri: str, *, outside: bool = False) -> str:
        """Return a presigned URL to read the object with. Must not block. `outside`: see GrantSource.grant.

        Raises:
            PermissionError: the search may not read it; the sentence says why.
        """
        ...


class NoDataGrants:
    """Refuses all: no data set lies in a store here."""

    def grant(self, uri: str, *, outside: bool = False) -> str:
        """See DataGrantSource.grant."""
        del outside
        raise PermissionError(f"{uri[:1000]} cannot be read here: data sets from a store work on a cluster only")


class S3DataGrants:
    """Grants to read data sets in other buckets of the store than the one with the artifacts.

    Args:
        settings: the store; its bucket holds artifacts, and no data set is ever read from it.
        may_read: whether the search may read the object at an address.
        seconds: how long a URL holds.
    """

    def __init__(self, settings: S3Settings, may_read: Callable[[str], bool], *, seconds: int = GRANT_SECONDS) -> None:
        self._signers = _Signers(settings, seconds)
        self._artifacts = settings.bucket
        self._may_read = may_read

    def grant(self, uri: str, *, outside: bool = False) -> str:
        """See DataGrantSource.grant."""
        try:
            address = S3Address.parse(uri)
            if address.bucket == self._artifacts:
                raise PermissionError(f"{uri} lies in the bucket of the artifacts, from which no data set is read")
            if not self._may_read(uri):
                raise PermissionError(f"searches of this namespace may not read {uri}: it is not mapped to it")
            return self._signers.of(outside).elsewhere(address.bucket).sign("GET", address.key)
        except InvalidInputError as error:
            raise PermissionError(str(error)) from error
