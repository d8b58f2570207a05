"""One TCP connection to a pod's port, through the API server: the only use of the `kubernetes` package's WebSockets.

Takes the verbs get and create on pods/portforward. docs/cluster-commands.md has a Role for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from xnas_core.cli.cluster.refusals import refusal
from xnas_core.errors import XnasError
from xnas_core.service.errors import DeadlineError, UnavailableError

CONNECT_SECONDS = 15.0

_PROTOCOL = "v4.channel.k8s.io"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A connection: bytes written to `socket` reach the pod; `error` tells what the node said went wrong, or None."""

    socket: socket.socket
    error: Callable[[], str | None]


def forward(configuration: Any, namespace: str, pod: str, port: int, seconds: float = CONNECT_SECONDS) -> Forwarded:
    """Connect to a port of a pod.

    Args:
        configuration: of the `kubernetes` package.
        namespace: of the pod.
        pod: its name.
        port: of one of its containers.
        seconds: how long the API server may take; whether somebody listens on the port is known only afterwards.

    Raises:
        XnasError: it is not allowed, there is no such pod, or nobody answers.
    """
    host = str(configuration.host)
    outcome: list[Any] = []

    def connect() -> None:
        try:
            outcome.append(_handshake(configuration, namespace, pod, port))
        except XnasError as error:
            outcome.append(error)

    # The package has no deadline for a handshake; a thread that hangs in one ends with the process.
    thread = threading.Thread(target=connect, name=f"forward to {pod}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise DeadlineError(f"the cluster at {host} did not open a way to pod {namespace}/{pod} within {seconds:g} s")
    if isinstance(outcome[0], XnasError):
        raise outcome[0]
    forwarded = _forwarder()(outcome[0], [port])
    opened: socket.socket = forwarded.socket(port)
    opened.setblocking(True)
    return Forwarded(opened, lambda: forwarded.error(port) or forwarded.broken)


def _handshake(configuration: Any, namespace: str, pod: str, port: int) -> Any:
    """Return an open WebSocket, with TLS, proxy and login as the kubeconfig says."""
    from kubernetes.stream import ws_client
    from websocket import WebSocketBadStatusException, WebSocketException

    # The package has no types.
    package: Any = ws_client
    host = str(configuration.host)
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/portforward"
    headers = {"sec-websocket-protocol": _PROTOCOL}
    token = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    if token:
        headers["authorization"] = token
    try:
        return package.create_websocket(configuration, f"ws{host.removeprefix('http')}{path}?ports={port}", headers)
    except WebSocketBadStatusException as error:
        body = error.resp_body or b""
        raise refusal(host, error.status_code, body if isinstance(body, bytes) else str(body).encode()) from error
    except (WebSocketException, OSError) as error:
        raise UnavailableError(f"the cluster at {host} can't forward a port to pod {pod}: {error}") from error


def _forwarder() -> Any:
    """Return the package's `PortForward`, which copies in a thread, made to end quietly where a connection breaks."""
    from kubernetes.stream import ws_client
    from websocket import WebSocketException

    base: Any = ws_client.PortForward

    class QuietPortForward(base):  # type: ignore[misc]  # the package has no types
        broken: str | None = None

        def _proxy(self) -> None:
            try:
                super()._proxy()
            except (OSError, ValueError, RuntimeError, WebSocketException) as error:
                # ValueError: a socket was closed while it was waited for. RuntimeError: a frame that is not understood.
                self.broken = f"the connection to the cluster broke: {error}"
            finally:
                for port in self.local_ports.values():
                    with contextlib.suppress(OSError):
                        port.python.close()
                self.websocket.shutdown()

    return QuietPortForward
