"""The Unix socket that leads to a pod: private, a connection each, nothing left. Here it leads nowhere else."""

from __future__ import annotations

import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xnas_core.cli.cluster.portforward import Forwarded
from xnas_core.cli.cluster.tunnel import Tunnel
from xnas_core.dispatch.addresses import socket_path
from xnas_core.service.errors import ForbiddenError

Connect = Callable[[], Forwarded]


@pytest.fixture
def connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """The far ends of all connections made so far."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ends: list[socket.socket] = []
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def connect(connects: list[socket.socket]) -> Connect:
    def connect_() -> Forwarded:
        near, far = socket.socketpair()
        far.settimeout(10)
        connects.append(far)
        return Forwarded(near, lambda: f"said of connection {len(connects)}")

    return connect_


def _client(tunnel: Tunnel) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(10)
    made.connect(str(socket_path(tunnel.address)))
    return made


def _soon(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_bytes_go_both_ways_on_connections_of_their_own(connect: Connect, connects: list[socket.socket]) -> None:
    with Tunnel(connect) as tunnel:
        assert len(connects) == 1
        with _client(tunnel) as one:
            one.sendall(b"to the pod")
            assert connects[0].recv(100) == b"to the pod"
            with _client(tunnel) as two:
                two.sendall(b"too")
                assert _soon(lambda: len(connects) == 2)
                assert connects[1].recv(100) == b"too"
                connects[0].sendall(b"x" * 300_000)
                received = b""
                while len(received) < 300_000:
                    received += one.recv(65_536)
                assert received == b"x" * 300_000
                connects[1].close()
                assert two.recv(1) == b""
            assert _soon(lambda: tunnel.failure == "said of connection 2")
        assert connects[0].recv(1) == b""


def test_nobody_else_can_use_it(connect: Connect) -> None:
    with Tunnel(connect) as tunnel:
        path = socket_path(tunnel.address)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_not_allowed_is_said_at_once() -> None:
    def refuse() -> Forwarded:
        raise ForbiddenError("not for you")

    with pytest.raises(ForbiddenError, match="not for you"):
        Tunnel(refuse)


def test_a_later_connection_that_fails_is_told_and_the_next_one_may_succeed(
    connect: Connect, connects: list[socket.socket]
) -> None:
    refusals = [False, True, False]

    def sometimes() -> Forwarded:
        if refusals.pop(0):
            raise ForbiddenError("not any more")
        return connect()

    with Tunnel(sometimes) as tunnel:
        _client(tunnel).close()
        with _client(tunnel) as second:
            assert second.recv(1) == b""
        assert tunnel.failure == "not any more"
        with _client(tunnel) as third:
            third.sendall(b"again")
            assert _soon(lambda: len(connects) == 2)
            assert connects[1].recv(100) == b"again"


def test_its_end_ends_all_connections_and_leaves_no_file(
    connect: Connect, connects: list[socket.socket], tmp_path: Path
) -> None:
    with Tunnel(connect) as tunnel:
        client = _client(tunnel)
        client.sendall(b"a")
        assert connects[0].recv(1) == b"a"
    assert client.recv(1) == b""
    assert connects[0].recv(1) == b""
    client.close()
    assert list(tmp_path.iterdir()) == []
    assert _soon(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("tunnel")])


def test_a_tunnel_that_was_not_used_leaves_nothing(connect: Connect, connects: list[socket.socket]) -> None:
    with Tunnel(connect):
        pass
    assert connects[0].recv(1) == b""


def test_a_temporary_folder_with_a_long_path(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 90)))
    with Tunnel(connect) as tunnel:
        assert tunnel.address.startswith("unix:/tmp/xnas-")
