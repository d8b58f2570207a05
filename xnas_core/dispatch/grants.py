"""Access to single objects of the store (protocol.md §6.9)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xnas_core.artifacts.keys import check_key

if TYPE_CHECKING:
    from xnas_core.artifacts.s3_settings import S3Settings

GRANT_SECONDS = 600
"""How long a presigned URL holds. A worker asks for it right before it begins the request; repetitions fit in too."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Access to one object: a file of this machine, or a presigned URL. Exactly one is set."""

    path: str | None = None
    url: str | None = None


class GrantSource(Protocol):
    """Makes grants. Whether the evaluator may have the object was checked before."""

    def grant(self, key: str, *, write: bool) -> Grant:
        """Return access to one object, to write (create or replace) or to read.

        Must not block: signing needs no network.
        """
        ...


class FolderGrants:
    """Grants of one machine: files below the output folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def grant(self, key: str, *, write: bool) -> Grant:
        """See GrantSource.grant; the same file for both verbs."""
        del write
        return Grant(path=str(self._root / check_key(key)))


class S3Grants:
    """Grants of a cluster: presigned URLs, each for one verb and one object. Signing needs no network.

    Args:
        settings: the store; its prefix is the search's root.
        external: make URLs for the external endpoint, for evaluators outside the cluster.
        seconds: how long a URL holds.

    Raises:
        InvalidInputError: the external endpoint is asked for and not set.
    """

    def __init__(self, settings: S3Settings, *, external: bool = False, seconds: int = GRANT_SECONDS) -> None:
        # Here, since one machine has no S3 store and no SDK installed.
        from xnas_core.artifacts.s3_signing import Signer

        self._signer = Signer(settings, external=external, seconds=seconds)

    def grant(self, key: str, *, write: bool) -> Grant:
        """See GrantSource.grant."""
        return Grant(url=self._signer.sign("PUT" if write else "GET", key))
