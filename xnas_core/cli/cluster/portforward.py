"""One TCP connection to a pod's port, through the API server: the only use of the `kubernetes` package's WebSockets.

Takes the verbs get and create on pods/portforward. docs/cluster-commands.md has a Role for it.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnas_core.cli.cluster.refusals import refusal
from xnas_core.errors import XnasError
from xnas_core.service.errors import DeadlineError, UnavailableError

CONNECT_SECONDS = 15.0

_HANDSHAKE = re.compile(r"Handshake status (\d{3})")
_BODY = re.compile(r"-\+-\+-\s*b'(\{.*\})\s*(?:\\n)?'\s*$", re.DOTALL)


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
    # A client of its own: the package bends the client that it opens a WebSocket with.
    from kubernetes import client
    from kubernetes.client import ApiException
    from kubernetes.stream import portforward

    host = str(configuration.host)
    api = client.CoreV1Api(client.ApiClient(configuration))
    outcome: list[Any] = []

    def connect() -> None:
        try:
            outcome.append(portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)))
        except (ApiException, OSError) as error:
            outcome.append(_explained(host, pod, error))

    # The package has no deadline for a handshake; a thread that hangs in one ends with the process.
    thread = threading.Thread(target=connect, name=f"forward to {pod}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise DeadlineError(f"the cluster at {host} did not open a way to pod {namespace}/{pod} within {seconds:g} s")
    if isinstance(outcome[0], XnasError):
        raise outcome[0]
    forwarded = outcome[0]
    opened: socket.socket = forwarded.socket(port)
    opened.setblocking(True)
    return Forwarded(opened, lambda: forwarded.error(port))


def _explained(host: str, pod: str, error: Exception) -> XnasError:
    said = str(getattr(error, "reason", "") or error)
    status = _HANDSHAKE.search(said)
    if status is None:
        return UnavailableError(f"the cluster at {host} can't forward a port to pod {pod}: {said[:300]}")
    return refusal(host, int(status[1]), _body(said))


def _body(said: str) -> bytes:
    """Return the body of a refused handshake, which the package puts into its message as Python writes bytes."""
    found = _BODY.search(said)
    if found is None:
        return b""
    text = found[1].replace('\\\\"', '\\"').replace("\\'", "'").replace("\\n", "")
    try:
        json.loads(text)
    except ValueError:
        return b""
    return text.encode()
