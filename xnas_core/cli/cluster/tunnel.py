"""A Unix socket on this machine that leads to a pod's port: each connection to it is forwarded anew.

A Unix socket and not a port: nobody else on this machine can use it, and no proxy of the environment gets in its way.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from xnas_core.cli.cluster.portforward import Forwarded
from xnas_core.dispatch.addresses import private_files
from xnas_core.errors import StoreError, XnasError

_BLOCK_BYTES = 65_536
_BACKLOG = 16
_LONGEST_FOLDER = 80


class Tunnel:
    """Use as a context; `address` is what gRPC takes.

    The first connection is made at once, so that what is not allowed is said at once.

    Args:
        connect: opens a connection to the pod; called again for each later connection, so it may look for the pod anew.

    Raises:
        XnasError: the first connection can't be made.
    """

    def __init__(self, connect: Callable[[], Forwarded]) -> None:
        self._connect = connect
        self._spare: Forwarded | None = connect()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._why: Callable[[], str | None] = lambda: None
        self.folder = Path()

    def __enter__(self) -> Self:
        # Paths of sockets are short: a long TMPDIR can't hold one.
        base = tempfile.gettempdir()
        self.folder = Path(tempfile.mkdtemp(prefix="xnas-", dir=base if len(base) <= _LONGEST_FOLDER else "/tmp"))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with private_files():
                self._listener.bind(str(self.folder / "operator"))
            self._listener.listen(_BACKLOG)
        except OSError as error:
            self.__exit__(None, None, None)
            raise StoreError(
                f"cannot make a socket in {self.folder}: {error.strerror}; set TMPDIR to a folder"
            ) from error
        threading.Thread(target=self._accept, name="tunnel", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            left = list(self._open)
        if self._spare is not None:
            left.append(self._spare.socket)
        for one in (self._listener, *left):
            _end(one)
            one.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """unix:PATH."""
        return f"unix:{self.folder / 'operator'}"

    @property
    def failure(self) -> str | None:
        """What went wrong with the newest connection, in a sentence; None where nothing is known."""
        return self._why()

    def _accept(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(local,), name="tunnel connection", daemon=True).start()

    def _serve(self, local: socket.socket) -> None:
        forwarded = self._forwarded()
        if forwarded is None:
            local.close()
            return
        self._why = forwarded.error
        pair = (local, forwarded.socket)
        with self._lock:
            if self._closed:
                for one in pair:
                    one.close()
                return
            self._open.update(pair)
        back = threading.Thread(target=_pump, args=(forwarded.socket, local), name="tunnel back", daemon=True)
        back.start()
        _pump(local, forwarded.socket)
        back.join()
        with self._lock:
            self._open.difference_update(pair)
        for one in pair:
            one.close()

    def _forwarded(self) -> Forwarded | None:
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            return spare
        try:
            return self._connect()
        except XnasError as error:
            said = str(error)
            self._why = lambda: said
            return None


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copy until one side ends; then end both, since neither gRPC nor a forwarded port knows half of a connection."""
    with contextlib.suppress(OSError):
        while data := source.recv(_BLOCK_BYTES):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
