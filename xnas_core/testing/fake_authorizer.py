"""An Authorizer over a table, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xnas_core.service.errors import UnauthenticatedError
from xnas_core.service.interface import Caller, Verb


@dataclass
class FakeAuthorizer:
    """See Authorizer.

    Attributes:
        tokens: user by token.
        rights: verbs by user and namespace; namespace "*": all of them.
        asked: every question, in order: user, verb, namespace, name.
    """

    tokens: dict[str, str] = field(default_factory=dict)
    rights: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def authenticate(self, metadata: Mapping[str, str]) -> Caller:
        """See Authorizer.authenticate."""
        kind, _, token = metadata.get("authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.tokens:
            raise UnauthenticatedError("the token is missing or not accepted; log in again")
        return Caller(self.tokens[token], ("system:authenticated",), f"uid-of-{self.tokens[token]}")

    async def allowed(self, caller: Caller, verb: Verb, namespace: str, name: str) -> bool:
        """See Authorizer.allowed."""
        self.asked.append((caller.username, verb, namespace, name))
        everywhere = self.rights.get((caller.username, "*"), set())
        return verb in everywhere or (bool(namespace) and verb in self.rights.get((caller.username, namespace), set()))
