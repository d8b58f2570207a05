"""A search to read, wherever it is: its view, and its objects by key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xnas_core.cli.places import ClusterPlace, FolderPlace, StorePlace, may_be_on_a_cluster, understand
from xnas_core.cli.session import Session
from xnas_core.errors import InvalidInputError

if TYPE_CHECKING:
    from xnas_core.artifacts.s3 import S3Store
    from xnas_core.artifacts.s3_settings import S3Settings
    from xnas_core.search.view import SearchSummary, SearchView

_SECRETS = ("XNAS_S3_ENDPOINT", "XNAS_S3_ACCESS_KEY", "XNAS_S3_SECRET_KEY")


class Source(Protocol):
    """A search to read. `place` is what to type for it; `folder` is there for an output folder only."""

    @property
    def place(self) -> str:
        """What to type as SEARCH."""
        ...

    @property
    def folder(self) -> Path | None:
        """The output folder, where it is one."""
        ...

    def view(self) -> SearchView:
        """Return the search as it is now; XnasError."""
        ...

    def summary(self) -> SearchSummary:
        """Return the search with its front only; XnasError."""
        ...

    def get(self, key: str) -> bytes:
        """Return an object below the search's root; KeyError, XnasError."""
        ...


@contextmanager
def opened(session: Session, text: str) -> Iterator[Source]:
    """Open the search that is meant by SEARCH.

    Raises:
        XnasError: it is not there, or can't be reached; the sentence says where it was looked for.
    """
    from xnas_core.cli.cluster.kubeconfig import configured
    from xnas_core.cli.cluster.options import said

    options = said(session)
    place = understand(text, options, cluster=configured(options))
    match place:
        case FolderPlace(folder):
            yield FolderSource(folder, text)
        case StorePlace():
            with _store(place) as source:
                yield source
        case ClusterPlace():
            from xnas_core.cli.cluster.source import cluster_source

            with cluster_source(place, options, text) as found:
                yield found


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The output folder of `xnas run`."""

    where: Path
    place: str

    @property
    def folder(self) -> Path | None:
        """See Source."""
        return self.where

    def view(self) -> SearchView:
        """See Source."""
        from xnas_core.artifacts import keys
        from xnas_core.local import open_search

        try:
            return open_search(self.where)
        except InvalidInputError as error:
            if not may_be_on_a_cluster(self.place) or (self.where / keys.SEARCH).is_file():
                raise
            known = "say -n NAMESPACE with its name" if self.where.exists() else "set KUBECONFIG"
            raise InvalidInputError(f"{error}; for a search on a cluster {known}") from error

    def summary(self) -> SearchSummary:
        """See Source."""
        return self.view().summary()

    def get(self, key: str) -> bytes:
        """See Source."""
        from xnas_core.artifacts.folder import FolderStore

        return FolderStore(self.where).get(key)


class StoreSource:
    """A search in an S3 store, also when its resource is gone. Nothing is written."""

    folder: Path | None = None

    def __init__(self, store: S3Store) -> None:
        self.store = store
        self.place = store.settings.uri

    def view(self) -> SearchView:
        """See Source."""
        from xnas_core.artifacts.retention import without_spent
        from xnas_core.search.recovery import recover
        from xnas_core.search.viewing import view

        engine, _ = recover(self.store)
        if engine is None:
            raise InvalidInputError(
                f"{self.place} holds no search; write the whole path, as in status.artifactsUri of the search"
            )
        return without_spent(view(engine, self._name()))

    def summary(self) -> SearchSummary:
        """See Source."""
        return self.view().summary()

    def get(self, key: str) -> bytes:
        """See Source."""
        return self.store.get(key)

    def _name(self) -> str:
        import orjson

        from xnas_core.artifacts import keys

        try:
            return str(orjson.loads(self.store.get(keys.SEARCH))["name"])
        except (KeyError, ValueError, TypeError):
            # Only a title: the journal, which is checked, holds all the rest.
            return self.place.rpartition("/")[2]


@contextmanager
def _store(place: StorePlace) -> Iterator[StoreSource]:
    try:
        from xnas_core.artifacts.s3 import S3Store
    except ImportError as error:
        raise InvalidInputError(f"reading a store takes xnas[client], which is not installed ({error})") from error
    store = S3Store(_settings(place))
    try:
        yield StoreSource(store)
    finally:
        store.close()


def _settings(place: StorePlace) -> S3Settings:
    from xnas_core.artifacts.s3_settings import S3Settings

    missing = [name for name in _SECRETS if not os.environ.get(name)]
    if missing:
        raise InvalidInputError(f"to read s3://{place.bucket} set {', '.join(missing)} (see docs/cluster-commands.md)")
    endpoint, access_key, secret_key = (os.environ[name] for name in _SECRETS)
    return S3Settings(
        endpoint,
        place.bucket,
        access_key,
        secret_key,
        region=os.environ.get("XNAS_S3_REGION") or "us-east-1",
        prefix=place.prefix,
        ca_file=os.environ.get("XNAS_S3_CA_FILE") or None,
    )
