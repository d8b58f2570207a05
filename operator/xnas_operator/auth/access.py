"""What a caller may do, by SubjectAccessReview on architecturesearches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from xnas_core.service.errors import UnavailableError
from xnas_core.service.interface import Caller, Verb
from xnas_operator.auth.memory import Memory
from xnas_operator.auth.tokens import TokenAuthenticator
from xnas_operator.kube import SEARCHES, KubeClient, KubeError

DECISION_S = 10.0
"""How long a decision is kept: a right that was taken away works so much longer."""
_Question = tuple[str, str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], str, str, str, str]


class KubeAuthorizer:
    """Implements `xnas_core.service.interface.Authorizer`. Use from one event loop."""

    def __init__(
        self,
        kube: KubeClient,
        authenticator: TokenAuthenticator,
        *,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._authenticator = authenticator
        self._memory: Memory[_Question, bool] = Memory(lambda _: DECISION_S, size=size, clock=clock)

    async def authenticate(self, metadata: Mapping[str, str]) -> Caller:
        """See TokenAuthenticator.authenticate."""
        return await self._authenticator.authenticate(metadata)

    async def allowed(self, caller: Caller, verb: Verb, namespace: str, name: str) -> bool:
        """See Authorizer.allowed."""
        return await self.may(caller, verb, namespace, name)

    async def may(
        self,
        caller: Caller,
        verb: str,
        namespace: str,
        name: str = "",
        *,
        group: str = SEARCHES.group,
        resource: str = SEARCHES.plural,
        subresource: str = "",
    ) -> bool:
        """Whether the caller has a verb on any resource, by default on architecturesearches.

        Raises:
            UnavailableError: the API server could not be asked.
        """
        extra = tuple(sorted((key, tuple(values)) for key, values in (caller.extra or {}).items()))
        place = f"{group}/{resource}/{subresource}"
        key = (caller.username, caller.uid, caller.groups, extra, verb, namespace, name, place)

        async def ask() -> bool:
            return await self._kube.subject_access_review(
                user=caller.username,
                groups=caller.groups,
                uid=caller.uid,
                extra=caller.extra,
                verb=verb,
                group=group,
                resource=resource,
                subresource=subresource,
                namespace=namespace,
                name=name,
            )

        try:
            return await self._memory.get(key, ask)
        except KubeError as error:
            raise UnavailableError(f"the caller's rights could not be checked at the moment: {error}") from error
