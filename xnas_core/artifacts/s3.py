"""The store of a cluster: objects of an S3 bucket, below a prefix (protocol.md §5.7).

Single objects go by URLs that the store signs for itself (`presigned`): the MinIO SDK has no argument for a
conditional PUT, and silently keeps the header's words as metadata when they are given as such. Lists and deletions
in bulk go through the SDK. Both use one `Transport`, whose limits hold for every call.
"""

from __future__ import annotations

import contextlib
import copy
import secrets
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from xml.etree.ElementTree import ParseError

from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError

from xnas_core.artifacts import presigned
from xnas_core.artifacts.keys import check_key
from xnas_core.artifacts.refusals import refused, unreachable
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.s3_signing import Signer, client, object_name
from xnas_core.artifacts.transport import Transport
from xnas_core.errors import InvalidInputError, StoreError

_SIGNED_SECONDS = 900
"""S3 itself tolerates clocks that differ by 15 minutes."""
_PROBE_TRIES = 3
_PROBE_SECONDS = 15.0


class S3Store:
    """Objects of a bucket. Implements ObjectStore; blocks, so call it from a thread.

    Args:
        settings: where and how. Nothing is sent before the first call; `probe` finds out whether they are right.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._transport = Transport(settings.patience, settings.ca_file)
        self._client = client(settings, self._transport)
        self._signer = Signer(settings, seconds=_SIGNED_SECONDS)

    def below(self, prefix: str) -> S3Store:
        """Return the store of a part: it shares the connections.

        Raises:
            InvalidInputError: the prefix is not a plain relative path.
        """
        part = copy.copy(self)
        part.settings = self.settings.below(prefix)
        part._signer = self._signer.below(prefix)
        return part

    def close(self) -> None:
        """Close idle connections, those of all parts too. A later call opens new ones."""
        self._transport.clear()

    # --- ObjectStore ----------------------------------------------------------------------------------------------

    def create(self, key: str, data: bytes) -> bool:
        """See ObjectStore.create.

        False may also mean that this very call wrote the object and the answer was lost before a repetition: whoever
        must know compares the content, as Journal.append does.
        """
        return presigned.create(self._transport, self._signer.sign("PUT", key), data)

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore.put."""
        presigned.put(self._transport, self._signer.sign("PUT", key), data)

    def get(self, key: str) -> bytes:
        """See ObjectStore.get. An answer that is shorter than it said is fetched again."""
        data = presigned.get(self._transport, self._signer.sign("GET", key))
        if data is None:
            raise KeyError(key)
        return data

    def open(self, key: str) -> Generator[bytes]:
        """See ObjectStore.open."""
        found = presigned.stream(self._transport, self._signer.sign("GET", key))
        if found is None:
            raise KeyError(key)
        return found

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        return self._size(key) is not None

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list. Raises StoreError."""
        start = len(self._root)
        # Sorted here too: not every store keeps the order over its pages. What ends in "/" marks a folder.
        yield from sorted(name[start:] for name in self._names(self._root + prefix) if not name.endswith("/"))

    def delete(self, key: str) -> None:
        """See ObjectStore.delete. Raises StoreError."""
        presigned.delete(self._transport, self._signer.sign("DELETE", key))

    # --- more than ObjectStore ------------------------------------------------------------------------------------

    def size(self, key: str) -> int:
        """Return an object's size in bytes.

        Raises:
            KeyError: there is no such object.
            StoreError: the store could not.
        """
        found = self._size(key)
        if found is None:
            raise KeyError(key)
        return found

    def _size(self, key: str) -> int | None:
        found = presigned.size(self._transport, self._signer.sign("HEAD", key))
        if found is None:
            # Absent, or the bucket is: this raises for the latter.
            data = presigned.get(self._transport, self._signer.sign("GET", key))
            found = None if data is None else len(data)
        return found

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects, 1,000 with each request; absent ones do not matter.

        Raises:
            StoreError: one could not be deleted; it is named. Others may be gone.
        """
        self._delete(object_name(self.settings, key) for key in keys)

    def delete_prefix(self, folder: str = "") -> int:
        """Delete everything below a folder, "" being the whole part; return how many objects there were.

        May be repeated after an error: it goes on with what is left.

        Raises:
            InvalidInputError: that would empty the bucket, or is not a plain relative path.
            StoreError: the store could not.
        """
        below = self._root + (check_key(folder.strip("/")) + "/" if folder.strip("/") else "")
        if not below:
            raise InvalidInputError(
                f"everything in the bucket {self.settings.bucket!r} would be deleted; name a folder"
            )
        names = self._names(below)
        self._delete(names)
        return len(names)

    def probe(self) -> None:
        """Prove that the store can do what the journal needs: create once, refuse the second time, list, read, delete.

        Takes some 15 seconds at most where nothing answers. What it wrote is removed.

        Raises:
            StoreError: it cannot; the message says what to change.
        """
        patience = replace(
            self.settings.patience,
            tries=min(_PROBE_TRIES, self.settings.patience.tries),
            deadline_seconds=min(_PROBE_SECONDS, self.settings.patience.deadline_seconds),
        )
        store = S3Store(replace(self.settings, patience=patience))
        key = f"probe/{secrets.token_hex(8)}"
        try:
            store._prove(key)
        except BaseException:
            with contextlib.suppress(StoreError):
                store.delete(key)
            raise
        finally:
            store.close()

    def _prove(self, key: str) -> None:
        # A repetition after a lost answer sees its own object: False, and that is fine too.
        self.create(key, b"first")
        if self.create(key, b"second") or self.get(key) != b"first":
            raise StoreError(
                f"{self._where} replaces an object although it was told not to (If-None-Match), so two operators could "
                "destroy a search: use a store with conditional writes, or update it"
            )
        if key not in self.list(key):
            raise StoreError(f"{self._where} does not list an object that was just written; use another store")
        self.delete(key)

    # --- through the SDK ------------------------------------------------------------------------------------------

    @property
    def _root(self) -> str:
        return f"{self.settings.prefix}/" if self.settings.prefix else ""

    @property
    def _where(self) -> str:
        return f"{self.settings.endpoint}/{self.settings.bucket}"

    def _names(self, prefix: str) -> Sequence[str]:
        """Return the names of all objects that start with `prefix`, in the bucket's order."""
        names: dict[str, None] = {}
        with self._explained("list"):
            for found in self._client.list_objects(self.settings.bucket, prefix, recursive=True):
                name = found.object_name or ""
                if name in names:
                    # Else a store that returns the same page again would keep us here for ever.
                    raise StoreError(f"cannot list {self._where}: it lists {name} twice; update the store")
                names[name] = None
        return [name for name in names if name.startswith(prefix)]

    def _delete(self, names: Iterable[str]) -> None:
        with self._explained("delete in"):
            for error in self._client.remove_objects(self.settings.bucket, map(DeleteObject, names)):
                if error.code != "NoSuchKey":
                    raise refused("delete", f"{self._where}/{error.name}", 200, error.code or "")

    @contextlib.contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            raise refused(action, self._where, error.response.status, error.code or "") from None
        except ServerError as error:
            raise refused(action, self._where, error.status_code, "") from None
        except HTTPError as error:
            raise unreachable(action, self._where, error) from None
        except (InvalidResponseError, ParseError, ValueError) as error:
            # ValueError: the SDK's own, about an answer that it cannot read.
            text = "its answer is not S3's; check that the endpoint is an S3 store"
            raise StoreError(f"cannot {action} {self._where}: {text}") from error
