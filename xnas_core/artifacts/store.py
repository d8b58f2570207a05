"""The store protocol: named objects, created once, read whole or in blocks.

One behavioural contract (xnas_core.testing.store_contract) runs over every implementation.
Methods are synchronous, safe to call from any thread, and end within the store's own deadline.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol


class ObjectStore(Protocol):
    """Objects below one root. Keys are relative, with `/`, as `keys.check_key` allows."""

    def create(self, key: str, data: bytes) -> bool:
        """Create the object durably, only if absent; return False if it exists (its content untouched).

        False may be this call's own write, where its answer was lost and it was repeated: who must know reads it.

        Raises:
            StoreError: the store could not; the object may or may not exist.
        """
        ...

    def put(self, key: str, data: bytes) -> None:
        """Create or replace the object, durably and atomically: a reader sees the old or the new, whole.

        Raises:
            StoreError: the store could not.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return the object's content.

        Raises:
            KeyError: there is no such object.
            StoreError: the store could not.
        """
        ...

    def open(self, key: str) -> Generator[bytes]:
        """Return the object's content in blocks of 256 KiB at most, for what is too large for memory. Close it.

        Nothing is repeated once blocks arrive: the generator raises StoreError where the object breaks off.

        Raises:
            KeyError: there is no such object.
            StoreError: the store could not.
        """
        ...

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that start with `prefix`, in lexicographic order."""
        ...

    def delete(self, key: str) -> None:
        """Delete the object; nothing happens if it is absent."""
        ...

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects, absent ones included, in as few requests as the store allows.

        Raises:
            StoreError: some may be left.
        """
        ...
