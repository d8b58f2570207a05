"""From a kubeconfig to a client of the operator's service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnas_core.cli.cluster.kube import Kube, Patience
from xnas_core.cli.cluster.kubeconfig import configured, load
from xnas_core.cli.cluster.options import ClusterOptions
from xnas_core.cli.cluster.tokens import TokenSource, token_source
from xnas_core.cli.places import ClusterPlace
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.service.errors import NotFoundError, UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    from xnas_core.client import SearchClient

PATIENCE = Patience()
SECONDS = 60.0
"""Deadline of a call to the operator's service, its repetitions included."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A client, the search that it is for, and how another process reaches the same service.

    Attributes:
        ca_file: None: the system's authorities.
    """

    client: SearchClient
    namespace: str
    name: str
    address: str
    token: TokenSource
    ca_file: Path | None
    server_name: str | None

    def document(self) -> dict[str, Any]:
        """Return it as JSON for another process. Holds a token: to be passed by a pipe only."""
        return {
            "address": self.address,
            "token": self.token() if callable(self.token) else self.token,
            "caFile": str(self.ca_file) if self.ca_file is not None else None,
            "serverName": self.server_name,
            "namespace": self.namespace,
            "name": self.name,
        }


@contextmanager
def kube_for(options: ClusterOptions) -> Iterator[Kube]:
    """Open the Kubernetes API."""
    require_client()
    with Kube(load(options), PATIENCE) as kube:
        yield kube


@contextmanager
def directly(address: str, place: ClusterPlace, options: ClusterOptions) -> Iterator[Reached]:
    """Connect to a service that can be reached from here, for one search. A cluster is asked only for what is missing.

    Raises:
        InvalidInputError: the namespace or a token is missing; the sentence says what to add.
    """
    from xnas_core.client import SearchClient

    require_client()
    with ExitStack() as stack:
        kube: Kube | None = None
        namespace = place.namespace
        given = options.token is not None or options.token_file is not None
        if configured(ClusterOptions(kubeconfig=options.kubeconfig)) and (namespace is None or not given):
            kube = stack.enter_context(Kube(load(options), PATIENCE))
            namespace = namespace or kube.access.namespace
        if namespace is None:
            raise InvalidInputError(f"say in which namespace {place.name} is: NAMESPACE/{place.name}, or -n NAMESPACE")
        token = token_source(kube, options, namespace)
        client = stack.enter_context(
            SearchClient(
                address, token=token, ca_file=options.ca_file, server_name=options.server_name, timeout=SECONDS
            )
        )
        yield Reached(client, namespace, place.name, address, token, options.ca_file, options.server_name)


@contextmanager
def through(kube: Kube, place: ClusterPlace, options: ClusterOptions) -> Iterator[Reached]:
    """Connect to the operator's service through the API server, for one search.

    Raises:
        XnasError: it can't be reached; the sentence says what to change.
    """
    from xnas_core.cli.cluster.operator_pod import active_operator, authorities
    from xnas_core.cli.cluster.portforward import Forwarded, forward
    from xnas_core.cli.cluster.tunnel import Tunnel
    from xnas_core.client import SearchClient

    namespace = place.namespace or kube.access.namespace
    operator = active_operator(kube, options)
    token = token_source(kube, options, namespace)

    def connect() -> Forwarded:
        # Another operator may have become the active one since, or become it just now.
        for tries_left in (1, 0):
            now = active_operator(kube, options)
            try:
                return forward(kube.access.configuration, now.namespace, now.name, now.port)
            except NotFoundError:
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    with Tunnel(connect) as tunnel:
        ca_file = tunnel.folder / "ca.crt"
        ca_file.write_bytes(authorities(kube, options, operator, namespace))
        server_name = options.server_name or operator.server_name
        with SearchClient(
            tunnel.address, token=token, ca_file=ca_file, server_name=server_name, timeout=SECONDS
        ) as client:
            try:
                yield Reached(client, namespace, place.name, tunnel.address, token, ca_file, server_name)
            except UnavailableError as error:
                raise _explained(error, operator.namespace, operator.name, tunnel.failure) from error
            except UnauthenticatedError as error:
                raise _token_hint(error, options) from error


def _explained(error: UnavailableError, namespace: str, pod: str, failure: str | None) -> XnasError:
    """Return the error with what is known of the forwarded port: gRPC knows only that a socket was closed."""
    if "unix:" not in str(error):
        return error
    said = f": {failure.strip()[:300]}" if failure else f": {error}"
    return UnavailableError(f"the operator in pod {namespace}/{pod} can't be reached through the cluster{said}")


def _token_hint(error: UnauthenticatedError, options: ClusterOptions) -> XnasError:
    if options.token is None:
        return error
    return UnauthenticatedError(f"{error}; the token comes from --token or XNAS_TOKEN")


def require_client() -> None:
    """Raise InvalidInputError unless the packages are installed that speak to a cluster."""
    from importlib.util import find_spec

    if find_spec("kubernetes") is None:
        raise InvalidInputError("the kubernetes package is not installed here; install xnas[client]")
