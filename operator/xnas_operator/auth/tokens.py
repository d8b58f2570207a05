"""Who a token stands for, by TokenReview. Tokens are never logged, and kept only as digests."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping

from xnas_core.service.errors import UnauthenticatedError, UnavailableError
from xnas_core.service.interface import Caller
from xnas_operator.auth.memory import Memory
from xnas_operator.kube import KubeClient, KubeError, TokenStatus

AUDIENCE = "xnas"
ACCEPTED_S = 60.0
"""How long an accepted token is not asked about again: a revoked one works so much longer."""
REFUSED_S = 5.0
LONGEST_TOKEN = 16_384
"""Characters; anything longer is refused unread."""


class TokenAuthenticator:
    """Callers from the call's metadata. Use from one event loop.

    Args:
        kube: may create tokenreviews.
        size: tokens remembered.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        audience: str = AUDIENCE,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._audience = audience
        self._memory: Memory[bytes, TokenStatus] = Memory(
            lambda status: ACCEPTED_S if status.authenticated else REFUSED_S, size=size, clock=clock
        )

    async def authenticate(self, metadata: Mapping[str, str]) -> Caller:
        """Who calls.

        Args:
            metadata: of the call, keys in lower case; `authorization` is "Bearer TOKEN".

        Raises:
            UnauthenticatedError: no token, or one that is not valid for our audience.
            UnavailableError: the API server could not be asked.
        """
        token = bearer_token(metadata)
        digest = hashlib.sha256(token.encode()).digest()
        try:
            status = await self._memory.get(digest, lambda: self._kube.token_review(token, [self._audience]))
        except KubeError as error:
            raise UnavailableError(f"the token could not be checked at the moment: {error}") from error
        if not status.authenticated:
            raise UnauthenticatedError(
                f"the token is not accepted (expired, or not made for the audience {self._audience!r}); "
                f"make one with: kubectl create token ACCOUNT --audience {self._audience}"
            )
        return Caller(status.username, status.groups, status.uid, dict(status.extra or {}))


def bearer_token(metadata: Mapping[str, str]) -> str:
    """The token of a call.

    Raises:
        UnauthenticatedError: there is none, or it is not readable.
    """
    kind, _, token = metadata.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise UnauthenticatedError('the call has no token; send the metadata "authorization: Bearer TOKEN"')
    if len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        raise UnauthenticatedError("the token of the call is not a Kubernetes token")
    return token
