"""The server of one search on one machine: its desk, behind a token, on a Unix socket or TCP."""

from __future__ import annotations

from collections.abc import Container, Sequence

from xnas_core import wire
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch import addresses as addr
from xnas_core.dispatch.desk import SearchDesk
from xnas_core.dispatch.door import TokenDoor, handlers
from xnas_core.dispatch.grants import DataGrantSource, GrantSource
from xnas_core.dispatch.listener import Listener
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import EvaluationConfig


class DispatchServer(SearchDesk):
    """A desk that listens by itself.

    Args:
        addresses: `unix:PATH` (made with mode 0600) and `HOST:PORT`; port 0 takes a free one.
        token: bearer token that evaluators on TCP must send; needed if there is such an address.

    Raises:
        InvalidInputError: an address is not valid, or a TCP address without token.
    """

    def __init__(
        self,
        store: ObjectStore,
        config: EvaluationConfig,
        *,
        addresses: Sequence[str],
        grants: GrantSource,
        data_grants: DataGrantSource | None = None,
        token: str | None = None,
        heartbeat_seconds: float = 5.0,
        grace_seconds: float = 60.0,
        local_evaluators: Container[str] = frozenset(),
    ) -> None:
        super().__init__(
            store,
            config,
            grants=grants,
            data_grants=data_grants,
            heartbeat_seconds=heartbeat_seconds,
            grace_seconds=grace_seconds,
            local_evaluators=local_evaluators,
        )
        self._listener = Listener(addresses, [(wire.SERVICE, handlers(TokenDoor(self.service, token)))])
        for address in addresses:
            if not addr.is_unix(address) and not token:
                raise InvalidInputError(f"listening on {address} needs a token, since others can reach that port")

    @property
    def bound(self) -> tuple[str, ...]:
        """Addresses that are served, with the port that was taken for port 0."""
        return self._listener.bound

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            InvalidInputError: an address cannot be bound.
        """
        await self._listener.start()
        self.open()

    async def stop(self, grace: float, *, drain: bool = True) -> None:
        """Stop serving; see SearchDesk.close."""
        if not self._listener.serving:
            return
        await self._listener.stop_health()
        await self.close(grace, drain=drain)
        await self._listener.stop(0.0 if drain else grace)
