"""A gRPC server on some addresses: health, reflection, bounds, TLS. What it serves, others bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from xnas_core.dispatch import addresses as addr
from xnas_core.dispatch import messages as m
from xnas_core.errors import InvalidInputError

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
)


class CertificateSource(Protocol):
    """The server's certificate, which may change while it serves."""

    def current(self) -> tuple[bytes, bytes]:
        """Return the private key and the chain of certificates, PEM. Must not block."""
        ...


class Listener:
    """One gRPC server.

    Args:
        addresses: `unix:PATH` (made with mode 0600) and `HOST:PORT`; port 0 takes a free one.
        services: full names and handlers of what is served.
        certificates: for TLS on TCP; None: plain text.

    Raises:
        InvalidInputError: an address is not valid.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        services: Sequence[tuple[str, grpc.GenericRpcHandler]],
        certificates: CertificateSource | None = None,
    ) -> None:
        if not addresses:
            raise InvalidInputError("a server needs at least one address")
        self._wanted = tuple(addr.check(address) for address in addresses)
        self._services = tuple(services)
        self._certificates = certificates
        self._server: grpc.aio.Server | None = None
        self._health = health_aio.HealthServicer()
        self.bound: tuple[str, ...] = ()
        """Addresses that are served, with the port that was taken for port 0."""

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            InvalidInputError: an address cannot be bound.
        """
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=20_000)
        server.add_generic_rpc_handlers(tuple(handler for _, handler in self._services))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = [name for name, _ in self._services]
        reflection.enable_server_reflection((*names, health, reflection.SERVICE_NAME), server)
        self.bound = tuple(self._bind(server, address) for address in self._wanted)
        await server.start()
        self._server = server
        for name in (*names, ""):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    @property
    def serving(self) -> bool:
        """Whether it was started and not stopped."""
        return self._server is not None

    async def stop_health(self) -> None:
        """Say NOT_SERVING, while what runs is ended."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Stop serving; calls that still run after `grace` seconds are broken off."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await server.stop(grace)
        for address in self.bound:
            if addr.is_unix(address):
                addr.socket_path(address).unlink(missing_ok=True)

    def _bind(self, server: grpc.aio.Server, address: str) -> str:
        try:
            if addr.is_unix(address):
                with addr.private_files():
                    server.add_insecure_port(address)
                addr.check_private(address)
                return address
            if self._certificates is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, _credentials(self._certificates))
        except (RuntimeError, OSError) as error:
            raise InvalidInputError(f"cannot listen on {address}: {error}; is another run using it?") from error
        return f"{address.rpartition(':')[0]}:{port}"


def _credentials(source: CertificateSource) -> grpc.ServerCredentials:
    def configuration() -> grpc.ServerCertificateConfiguration:
        # Called at each handshake, so that a new certificate needs no restart.
        return grpc.ssl_server_certificate_configuration([source.current()])

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration)
