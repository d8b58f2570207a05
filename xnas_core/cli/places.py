"""Where a search is: what a user types as SEARCH, understood. Imports nothing that a cluster or a store needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xnas_core.cli.cluster.options import ClusterOptions, wanted
from xnas_core.errors import InvalidInputError

_S3 = "s3://"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMED = re.compile(rf"(?:({_LABEL})/)?({_LABEL})")


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """The output folder of `xnas run`."""

    folder: Path


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A search on a cluster; namespace None: the context's."""

    namespace: str | None
    name: str


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A search in an S3 store: s3://bucket/prefix."""

    bucket: str
    prefix: str


Place = FolderPlace | ClusterPlace | StorePlace


def cluster_place(text: str, options: ClusterOptions) -> ClusterPlace:
    """Return the search on a cluster that is meant by NAME or NAMESPACE/NAME.

    Raises:
        InvalidInputError: it is neither, or the namespace is said twice and differs.
    """
    found = _NAMED.fullmatch(text)
    if found is None:
        raise InvalidInputError(
            f"{text!r} is not the name of a search on a cluster: write NAMESPACE/NAME, or NAME with -n NAMESPACE"
        )
    namespace, name = found.groups()
    if options.namespace is not None and not re.fullmatch(_LABEL, options.namespace):
        raise InvalidInputError(f"{options.namespace!r} can't be a namespace; write small letters, digits and '-'")
    if None not in (namespace, options.namespace) and namespace != options.namespace:
        raise InvalidInputError(
            f"{text} says namespace {namespace}, but -n says {options.namespace}; leave one of them out"
        )
    return ClusterPlace(namespace or options.namespace, name)


def may_be_on_a_cluster(text: str) -> bool:
    """Return whether the text has the form NAME or NAMESPACE/NAME."""
    return _NAMED.fullmatch(text) is not None


def understand(text: str, options: ClusterOptions, *, cluster: bool) -> Place:
    """Return the place that is meant.

    An existing folder is a folder, unless a namespace or a context was said; what is no folder is looked for on the
    cluster, if one is known.

    Args:
        text: as typed.
        options: what was said of a cluster.
        cluster: whether a cluster is known.

    Raises:
        InvalidInputError: it is a file, or no place at all.
    """
    if text.startswith(_S3):
        return _store_place(text, options)
    if wanted(options):
        return cluster_place(text, options)
    path = Path(text)
    if path.is_dir():
        return FolderPlace(path)
    if path.is_file():
        raise InvalidInputError(f"{text} is a file; give the folder that holds a search")
    if cluster and may_be_on_a_cluster(text):
        return cluster_place(text, options)
    return FolderPlace(path)


def _store_place(text: str, options: ClusterOptions) -> StorePlace:
    bucket, _, prefix = text.removeprefix(_S3).partition("/")
    if options.namespace is not None:
        raise InvalidInputError(f"{text} lies in a store, which has no namespaces; leave out -n")
    if not bucket or not prefix.strip("/"):
        raise InvalidInputError(
            f"{text} names no search: write s3://BUCKET/PREFIX, as in status.artifactsUri of the search"
        )
    return StorePlace(bucket, prefix.strip("/"))
