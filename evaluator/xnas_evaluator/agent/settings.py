"""Settings of an agent, and its command line."""

from __future__ import annotations

import argparse
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xnas_core.dispatch import addresses
from xnas_core.dispatch.messages import MAX_SLOTS
from xnas_core.errors import InvalidInputError

TOKEN_VARIABLE = "XNAS_TOKEN"
_SEARCH = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


def new_id() -> str:
    """Return an id for a new agent process (protocol.md §6.2)."""
    return f"{os.uname().nodename.split('.')[0][:40] or 'host'}-{uuid.uuid4().hex[:12]}"


def default_cache() -> Path:
    """Return the folder for decoded data: XNAS_CACHE, or xnas in the user's cache folder."""
    if "XNAS_CACHE" in os.environ:
        return Path(os.environ["XNAS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "xnas"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything that an agent can be told. Times are seconds.

    Attributes:
        connect: `unix:PATH` or `HOST:PORT`.
        token: bearer token for a server on TCP.
        store_ca_file: certificates that a store's must be signed by; None: the system's.
        slots: attempts run side by side, 1 to 64.
        device: auto, cpu or cuda. `auto` is the accelerator if there is one.
        memory_limit_mb: resident memory of one worker and its children above which it is ended; None: no limit.
        id: new for each agent process.
        parent_pid: process that this agent ends with; None: none.
        cache: folder for decoded data, shared by all workers of the machine.
        tasks: `module:function` that carries out attempts; "" for the built-in one. For tests.
        hang_seconds: without a sign of life for so long, a worker counts as hung.
        stop_seconds: how long a worker may take to leave an attempt that was cancelled; then it is killed.
        drain_seconds: after a signal, how long running attempts may take to finish; then they are handed back.
        leave_seconds: after a signal, how long handing back and its acknowledgement may take in all.
        give_up_seconds: without an answer from the server for so long, the agent ends.
        grant_seconds: how long a worker waits for a grant while the server cannot be reached.
        exclusive_seconds: how long the exclusive moment is waited for; then it is taken with others computing.
        poll_seconds: how often memory and limits are looked at.
    """

    connect: str
    token: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    server_name: str | None = None
    search: str | None = None
    store_ca_file: Path | None = None
    slots: int = 1
    device: str = "auto"
    memory_limit_mb: int | None = None
    id: str = field(default_factory=new_id)
    parent_pid: int | None = None
    cache: Path = field(default_factory=default_cache)
    tasks: str = ""
    hang_seconds: float = 600.0
    stop_seconds: float = 5.0
    drain_seconds: float = 0.0
    leave_seconds: float = 8.0
    give_up_seconds: float = 600.0
    grant_seconds: float = 300.0
    exclusive_seconds: float = 120.0
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        addresses.check(self.connect)
        if not 1 <= self.slots <= MAX_SLOTS:
            raise InvalidInputError(f"{self.slots} slots are not possible: use 1 to {MAX_SLOTS}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise InvalidInputError(f"unknown device {self.device!r}: use auto, cpu or cuda")
        if self.search is not None and not _SEARCH.match(self.search):
            raise InvalidInputError(f"{self.search[:200]!r} names no search: give NAMESPACE/NAME")
        self.bearer()
        for file in filter(None, (self.ca_file, self.store_ca_file)):
            read_text(file)
        if self.memory_limit_mb is not None and self.memory_limit_mb < 64:
            raise InvalidInputError(f"a memory limit of {self.memory_limit_mb} MB is too small: use at least 64")

    def bearer(self) -> str | None:
        """Return the token to show now: a kubelet replaces the file before the token in it expires.

        Raises:
            InvalidInputError: the file cannot be read.
        """
        return self.token if self.token_file is None else read_token(self.token_file)


def parse(argv: Sequence[str]) -> AgentSettings:
    """Read a command line.

    Raises:
        InvalidInputError: a value is not possible, or the token file cannot be read.
    """
    parser = argparse.ArgumentParser(prog="xnas_evaluator.agent", description="Evaluate candidates for a search.")
    add = parser.add_argument
    add("--connect", required=True, help="unix:PATH or HOST:PORT of the search")
    add("--token-file", type=Path, help=f"file with the token for a search on TCP (or set {TOKEN_VARIABLE})")
    add("--ca-file", type=Path, help="certificates that the server's must be signed by; with it TLS is used")
    add("--store-ca-file", type=Path, help="certificates that the store's must be signed by; else the system's")
    add("--server-name", default="", help="name in the server's certificate, where it is not that of the address")
    add("--search", default="", help="NAMESPACE/NAME of the search to serve, on a cluster")
    add("--slots", type=int, default=1, help="attempts run side by side (default 1)")
    add("--device", default="auto", help="auto, cpu or cuda (default auto)")
    add("--memory-limit-mb", type=int, help="end a worker whose resident memory is above this")
    add("--id", default="", help="id of this evaluator; must be new for each process")
    add("--parent-pid", type=int, help="end with this process, which must be the parent")
    add("--cache", type=Path, help="folder for decoded data")
    add("--tasks", default="", help="module:function that carries out attempts (for tests)")
    add("--hang-seconds", type=float, default=600.0, help="a worker silent for so long counts as hung (default 600)")
    add("--stop-seconds", type=float, default=5.0, help="time to leave a cancelled attempt (default 5)")
    add("--drain-seconds", type=float, default=0.0, help="time to finish attempts after a signal (default 0)")
    add("--give-up-seconds", type=float, default=600.0, help="end when the search is silent this long (default 600)")
    known = parser.parse_args(argv)
    return AgentSettings(
        connect=known.connect,
        token=None if known.token_file else read_token(None),
        token_file=known.token_file,
        ca_file=known.ca_file,
        store_ca_file=known.store_ca_file,
        server_name=known.server_name or None,
        search=known.search or None,
        slots=known.slots,
        device=known.device,
        memory_limit_mb=known.memory_limit_mb,
        id=known.id or new_id(),
        parent_pid=known.parent_pid,
        cache=known.cache or default_cache(),
        tasks=known.tasks,
        hang_seconds=known.hang_seconds,
        stop_seconds=known.stop_seconds,
        drain_seconds=known.drain_seconds,
        leave_seconds=known.drain_seconds + 8.0,
        give_up_seconds=known.give_up_seconds,
    )


def read_token(file: Path | None) -> str | None:
    """Return the token of the file, or of the environment; None if there is neither."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    token = read_text(file, "the token file ").strip()
    if not token or not token.isascii():
        raise InvalidInputError(f"the token file {file} holds no token")
    return token


def read_text(file: Path, what: str = "") -> str:
    """Return the content of a file of the settings; raise InvalidInputError that names it."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{what}{file} cannot be read: {error}") from error
