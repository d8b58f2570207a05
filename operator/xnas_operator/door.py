"""The door of the cluster: which search an evaluator may serve is what its token says (docs/security.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from xnas_core.dispatch.door import Admission, CallRefusedError
from xnas_operator.searches import Searches


@dataclass(frozen=True, slots=True)
class EvaluatorCaller:
    """Who an evaluator has proved to be.

    Attributes:
        search_uid: uid of the only search that it may serve.
        evaluator: the only evaluator id that it may use: its pod's name; None for one from outside the cluster.
    """

    search_uid: str
    evaluator: str | None


class Identifier(Protocol):
    """Tells from a call's metadata who calls."""

    async def identify(self, metadata: Mapping[str, str]) -> EvaluatorCaller:
        """Return who calls.

        Raises:
            CallRefusedError: nobody who may serve a search, or it cannot be found out now.
        """
        ...


class ClusterDoor:
    """See Door."""

    def __init__(self, searches: Searches, identifier: Identifier) -> None:
        self._searches = searches
        self._identifier = identifier

    async def admit(self, peer: str, metadata: Mapping[str, str]) -> Admission:
        """See Door.admit."""
        del peer
        caller = await self._identifier.identify(metadata)
        controller = self._searches.by_uid(caller.search_uid)
        session = controller.session if controller is not None else None
        if session is None or session.desk is None:
            raise CallRefusedError("unavailable", "the search is not being served at the moment; connect again later")
        return Admission(session.desk.service, caller.evaluator)
