"""The door of the cluster: which search an evaluator may serve is what its token says (docs/security.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from xnas_core.dispatch.door import Admission, CallRefusedError
from xnas_operator.auth import EvaluatorIdentity
from xnas_operator.searches import Searches


class Identities(Protocol):
    """Tells from a call's metadata who calls. `auth.EvaluatorIdentities` is the real one."""

    async def resolve(self, metadata: Mapping[str, str]) -> EvaluatorIdentity:
        """Return who calls, or raise CallRefusedError."""
        ...


class ClusterDoor:
    """See Door."""

    def __init__(self, searches: Searches, identities: Identities) -> None:
        self._searches = searches
        self._identities = identities

    async def admit(self, peer: str, metadata: Mapping[str, str]) -> Admission:
        """See Door.admit."""
        del peer
        identity = await self._identities.resolve(metadata)
        controller = self._searches.by_uid(identity.search_uid)
        session = controller.session if controller is not None else None
        gone = self._searches.listed if controller is None else controller.known.gone.is_set()
        if gone:
            raise CallRefusedError("permissionDenied", "the search was deleted")
        if session is None or session.desk is None:
            raise CallRefusedError("unavailable", "the search is not being served at the moment; connect again later")
        return Admission(session.desk.service, identity.evaluator)
