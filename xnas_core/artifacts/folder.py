"""The store of one machine: a folder (protocol.md §5.6).

Every write is a temporary file, fsync, then `link` (create) or `rename` (replace), then fsync of the folder:
a reader sees an object whole or not at all, and what was reported as written survives a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from xnas_core.artifacts.keys import check_key
from xnas_core.errors import StoreError

_TEMPORARY = ".tmp-"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_BLOCK_BYTES = 256 * 1024


class FolderStore:
    """Objects as files below a folder, which is created if absent.

    Raises:
        StoreError: the folder cannot be made or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with _explained("create the folder", root):
            root.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Return the file of a key; raise InvalidInputError for a key that is not plain."""
        return self.root / check_key(key)

    def create(self, key: str, data: bytes) -> bool:
        """See ObjectStore.create."""
        target = self.path(key)
        temporary = self._write_temporary(target, data)
        try:
            with _explained("write", target):
                try:
                    os.link(temporary, target)
                except FileExistsError:
                    return False
                _sync_folder(target.parent)
                return True
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore.put."""
        target = self.path(key)
        temporary = self._write_temporary(target, data)
        try:
            with _explained("write", target):
                temporary.replace(target)
                _sync_folder(target.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        path = self.path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None
        except OSError as error:
            raise _store_error("read", path, error) from error

    def open(self, key: str) -> Generator[bytes]:
        """See ObjectStore.open."""
        path = self.path(key)
        try:
            if path.is_dir():
                raise KeyError(key)
            file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None
        except OSError as error:
            raise _store_error("read", path, error) from error
        return _blocks(file, path)

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        return self.path(key).is_file()

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list."""
        # A prefix may end inside a name; only its folder part narrows the walk.
        base = self.root / prefix.rpartition("/")[0]
        found: list[str] = []
        for folder, _, files in os.walk(base):
            relative = os.path.relpath(folder, self.root)
            start = "" if relative == "." else relative.replace(os.sep, "/") + "/"
            found.extend(start + name for name in files if not name.startswith(_TEMPORARY))
        yield from sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        path = self.path(key)
        with _explained("delete", path):
            path.unlink(missing_ok=True)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See ObjectStore.delete_many."""
        for key in keys:
            self.delete(key)

    def _write_temporary(self, target: Path, data: bytes) -> Path:
        temporary = target.parent / f"{_TEMPORARY}{target.name}-{secrets.token_hex(6)}"
        try:
            with _explained("write", target):
                try:
                    descriptor = os.open(temporary, _NEW_FILE, 0o666)
                except FileNotFoundError:
                    _make_folders(target.parent, self.root)
                    descriptor = os.open(temporary, _NEW_FILE, 0o666)
                # By bare system calls, as few as can be: in a busy process a thread waits after each (`interpreter`).
                try:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[os.write(descriptor, rest) :]
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except StoreError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        return temporary


def _make_folders(folder: Path, root: Path) -> None:
    """Create the folder and make each new name durable in its parent."""
    missing = [folder, *folder.parents]
    missing = missing[: missing.index(root)] if root in missing else missing[:1]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _blocks(file: BinaryIO, path: Path) -> Generator[bytes]:
    with file, _explained("read", path):
        while block := file.read(_BLOCK_BYTES):
            yield block


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _store_error(action, path, error) from error


def _store_error(action: str, path: Path, error: OSError) -> StoreError:
    advice = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EROFS: "the file system is read-only; choose another output folder",
        errno.EACCES: "permission denied; choose a folder that you may write to",
        errno.EPERM: "not permitted here; choose another output folder",
        errno.EEXIST: "a file is in the way; choose another output folder",
        errno.ENOTDIR: "a file is in the way; choose another output folder",
    }.get(error.errno or 0, error.strerror or str(error))
    return StoreError(f"cannot {action} {path}: {advice}")
