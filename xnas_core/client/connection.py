"""Where the service is, how to prove who one is, and how long to wait: settings of a client, checked at once."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc

from xnas_core.dispatch import addresses
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.service.codes import REASON_KEY, error_of
from xnas_core.service.errors import DeadlineError, UnavailableError
from xnas_core.service.values import MAX_MESSAGE_BYTES

TokenSource = str | Callable[[], str]

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A connection that broke without a word is noticed within 40 seconds.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Retries are ours, so that they have one limit.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of retries. Only UNAVAILABLE is retried, and only for calls that may be repeated.

    Attributes:
        attempts: calls in all.
        first_pause_seconds: pause before the first retry; doubled each time, and shortened at random by up to a half.
        longest_pause_seconds: where the doubling ends.
        reconnects: how often in a row a watch connects again without hearing anything.
        idle_seconds: silence after which a stream is given up; the service says something every 15 seconds.
    """

    attempts: int = 4
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 5.0
    reconnects: int = 10
    idle_seconds: float = 60.0

    def pause(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        whole = min(self.first_pause_seconds * 2.0 ** (failures - 1), self.longest_pause_seconds)
        return whole * (0.5 + random.random() / 2)


@dataclass(frozen=True)
class Connection:
    """How to reach a service.

    Attributes:
        address: HOST:PORT, or unix:PATH.
        token: what proves who calls; asked for before each call if it is a function.
        root_certificates: PEM of the authority that signed the service's certificate; None: the system's.
        server_name: name in the certificate, where it is not the address's (a port-forward).
        insecure: plain text; on this machine only.
        timeout: seconds for a call, its retries included.
    """

    address: str
    token: TokenSource | None = field(default=None, repr=False)
    root_certificates: bytes | None = None
    server_name: str | None = None
    insecure: bool = False
    timeout: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def options(self) -> tuple[tuple[str, int | str], ...]:
        """Options of the channel."""
        named = () if self.server_name is None else (("grpc.ssl_target_name_override", self.server_name),)
        return (*_OPTIONS, *named)

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """Credentials of the channel; None: plain text."""
        return None if self.insecure else grpc.ssl_channel_credentials(self.root_certificates)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call. Reads the token, so it may block.

        Raises:
            InvalidInputError: the token can't be read, or is none.
        """
        token = (self.token() if callable(self.token) else self.token or "").strip()
        if not all("!" <= character <= "~" for character in token):
            raise InvalidInputError("the token has spaces or other characters that no token has; is it the right file?")
        return (("authorization", f"Bearer {token}"),) if token else ()

    def explain(self, error: grpc.RpcError) -> XnasError:
        """Return a failed call's error as one of ours, with a sentence."""
        code, details = error.code(), error.details() or ""
        # Pairs in both of grpc's interfaces, which declare them differently.
        trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
        reason = next((str(value) for key, value in trailing if key == REASON_KEY), "")
        if not reason and code is grpc.StatusCode.UNAVAILABLE:
            tls = any(word in details for word in ("SSL", "certificate", "CERTIFICATE", "Hostname Verification"))
            hint = "; check ca_file and server_name" if tls else ""
            return UnavailableError(f"the service at {self.address} can't be reached: {details[:500]}{hint}")
        if not reason and code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(f"the service at {self.address} did not answer within {self.timeout:g} s")
        # A service that stops, or a proxy in between, breaks its streams off.
        if code is grpc.StatusCode.CANCELLED:
            return UnavailableError(f"the service at {self.address} broke the call off")
        return error_of(code, details, reason)


def connection(
    address: str,
    *,
    token: TokenSource | None = None,
    token_file: str | Path | None = None,
    ca_file: str | Path | None = None,
    server_name: str | None = None,
    timeout: float = 30.0,
    insecure: bool = False,
    retry: RetryPolicy | None = None,
) -> Connection:
    """Return checked settings; see `SearchClient` for the arguments.

    Raises:
        InvalidInputError: one of them is not valid.
    """
    addresses.check(address)
    if token is not None and token_file is not None:
        raise InvalidInputError("token and token_file exclude each other; give one of them")
    if not 0 < timeout < float("inf"):
        raise InvalidInputError(f"timeout is {timeout}; it has to be a positive number of seconds")
    if insecure and not _on_this_machine(address):
        raise InvalidInputError(f"insecure is for addresses on this machine; {address} takes TLS (ca_file)")
    if insecure and (ca_file is not None or server_name is not None):
        raise InvalidInputError("ca_file and server_name belong to TLS; leave them out, or leave out insecure")
    file = None if token_file is None else Path(token_file)
    source = token if file is None else lambda: _read(file, "the token").decode()
    roots = None if ca_file is None else _read(Path(ca_file), "the certificate")
    return Connection(address, source, roots, server_name, insecure, timeout, retry or RetryPolicy())


def _on_this_machine(address: str) -> bool:
    if addresses.is_unix(address):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{what} can't be read from {path}: {error.strerror or error}") from error
