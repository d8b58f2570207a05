"""Decoded data sets on disk: decoded once, then read by every worker; written atomically, digest verified."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from xnas_core.errors import StoreError
from xnas_evaluator.datasets.raw import RawDataset, checked

_VERSION = 1
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def default_cache() -> Path:
    """Return the cache folder: $XNAS_CACHE, else $XDG_CACHE_HOME/xnas, else ~/.cache/xnas."""
    if configured := os.environ.get("XNAS_CACHE"):
        return Path(configured)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xnas"


def fingerprint_files(paths: Iterable[Path]) -> str:
    """Return what changes when one of the files does: a digest over names, sizes and modification times."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        status = path.stat()
        digest.update(f"{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def decoded_once(cache: Path, name: str, fingerprint: str, decode: Callable[[], RawDataset]) -> RawDataset:
    """Return the decoded data set from the cache, or decode it and keep it there.

    Several processes may call this at once: one decodes, the others wait for it. A torn or altered cache
    file is replaced.

    Args:
        cache: the cache folder; made if absent.
        name: names the data set in file names and errors.
        fingerprint: changes when the source does (`fingerprint_files`).
        decode: does the work; its errors pass through.

    Raises:
        StoreError: the cache folder can't be used, or its disk is full.
        InvalidInputError: `decode` refused the source.
    """
    key = hashlib.sha256(f"{_VERSION}\n{name}\n{fingerprint}".encode()).hexdigest()[:16]
    stem = f"{re.sub(r'[^A-Za-z0-9-]+', '-', name)[:40]}-{key}"
    folder = cache / "datasets"
    path = folder / f"{stem}.safetensors"
    # Without the lock first: what is there is whole, and the folder may be read-only.
    with explained(cache):
        kept = _read(path)
    if kept is not None:
        return kept
    with ExitStack() as stack:
        with explained(cache):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(folder / f"{stem}.lock"))
            kept = _read(path)
        if kept is not None:
            return kept
        raw = checked(decode(), name)
        with explained(cache):
            _write(path, raw)
        return raw


@contextmanager
def explained(cache: Path) -> Iterator[None]:
    """Turn what the file system refuses into a StoreError: another evaluator, or this one later, can do the task."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = (
            "free some space, or set XNAS_CACHE to a folder with room" if full else "set XNAS_CACHE to one that can"
        )
        raise StoreError(
            f"the cache folder {str(cache)!r} can't be used ({error.strerror or error}); {advice}"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, raw: RawDataset) -> None:
    tensors = {name: array for name in _ARRAYS if (array := getattr(raw, name)) is not None}
    metadata = {"digest": raw.digest, "classNames": json.dumps(raw.class_names)}
    handle, temporary = tempfile.mkstemp(prefix=path.stem, suffix=".partial", dir=path.parent)
    os.close(handle)
    try:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            # The library tells the system's error in its text only: "... (os error 28)".
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            code = int(number.group(1))
            raise OSError(code, os.strerror(code), temporary) from error
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read(path: Path) -> RawDataset | None:
    """Return a whole cache file's content; None if it is absent, torn or altered."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            present = set(file.keys())
            arrays = [file.get_tensor(name) if name in present else None for name in _ARRAYS]
        train_images, train_labels, test_images, test_labels = arrays
        if train_images is None or train_labels is None:
            return None
        class_names = tuple(str(name) for name in json.loads(metadata["classNames"]))
        raw = RawDataset(train_images, train_labels, class_names, test_images, test_labels)
    except (SafetensorError, KeyError, ValueError):
        return None
    return raw if raw.digest == metadata.get("digest") else None
