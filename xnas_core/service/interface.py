"""What SearchService needs from whoever knows where searches live, and who may do what.

All methods run in the event loop that serves; what blocks belongs into a thread. A backend that is not the one in
charge (another replica is) raises UnavailableError. `xnas_core.testing.backend_contract` runs over each backend.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from xnas_core.search.view import SearchView
from xnas_core.service.values import SearchMoment
from xnas_core.tasks import TaskKind

Manifest = Mapping[str, Any]
"""An ArchitectureSearch as a JSON document."""
Verb = Literal["get", "list", "watch", "create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as a TokenReview has it."""

    username: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] | None = None


class Authorizer(Protocol):
    """Who calls, and what it may do."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Caller:
        """Return who calls, from the call's metadata ("authorization": "Bearer TOKEN"; keys in lower case).

        Raises:
            UnauthenticatedError: no token, or one that is not accepted.
            UnavailableError: nobody can be asked at the moment.
        """
        ...

    async def allowed(self, caller: Caller, verb: Verb, namespace: str, name: str) -> bool:
        """Return whether the caller has the verb on architecturesearches.

        Args:
            namespace: "" for all namespaces (`list` only).
            name: "" for `list` and `create`.

        Raises:
            UnavailableError: nobody can be asked at the moment.
        """
        ...


@dataclass(frozen=True, slots=True)
class ManifestPage:
    """Some resources, status included, and the token for the next ones ("" after the last)."""

    manifests: tuple[Manifest, ...]
    next_token: str = ""


class SearchBackend(Protocol):
    """Searches. Every method but `create` and `list` raises NotFoundError where there is none of that name."""

    async def create(self, manifest: Manifest, caller: Caller) -> Manifest:
        """Make the resource, acting as the caller; return it as stored.

        Raises:
            AlreadyExistsError: there is one of that name.
            InvalidInputError: it was refused; the sentence says why.
            ForbiddenError: the caller may not.
        """
        ...

    async def get(self, namespace: str, name: str) -> Manifest:
        """Return the resource, status included."""
        ...

    async def list(self, namespace: str, limit: int, token: str) -> ManifestPage:
        """Return resources by namespace and name; namespaces themselves in any order that stays.

        All pages show one moment, or at least none twice.

        Args:
            namespace: "" for all.
            limit: at most so many.
            token: "" or a page's `next_token`.

        Raises:
            InvalidTokenError: not such a token.
            ChangedMeanwhileError: the token is too old; start again.
        """
        ...

    async def update(self, namespace: str, name: str, spec_patch: Manifest, caller: Caller) -> Manifest:
        """Apply a JSON merge patch to the spec, acting as the caller; return the resource as stored.

        The service has checked that only fields that may change are in it.

        Raises:
            InvalidInputError: it was refused; the sentence says why.
            ForbiddenError: the caller may not.
        """
        ...

    async def delete(self, namespace: str, name: str, uid: str, caller: Caller) -> None:
        """Delete the resource, acting as the caller.

        Args:
            uid: "" or the identity that it must have.

        Raises:
            ChangedMeanwhileError: it has another identity.
            ForbiddenError: the caller may not.
        """
        ...

    async def moment(self, namespace: str, name: str) -> SearchMoment:
        """Return where the search stands, of durable events only (protocol.md §5.3). Also before it was accepted.

        Raises:
            UnavailableError: nobody knows at the moment, since the journal was not read yet. It is not said then that
                the search has not begun; the same holds for `view`, `watch` and `request_task`.
        """
        ...

    async def view(self, namespace: str, name: str) -> SearchView:
        """Return the search as a whole, of durable events only, without artifacts that were given up.

        Raises:
            NotBegunError: it was not accepted yet.
        """
        ...

    def watch(self, namespace: str, name: str) -> AsyncIterator[SearchMoment]:
        """Yield the search now, and again after each change, as it is then; end when it was deleted.

        Only what is there when the next moment is asked for counts: a slow reader misses moments, never the newest.
        NotFoundError is raised with the first one.
        """
        ...

    async def artifact(self, namespace: str, name: str, key: str) -> AsyncGenerator[bytes, None]:
        """Return an object below the search's root; the key is valid, and an artifact or one of the tables.

        Its content comes in chunks of any size, read as they are asked for: an object may be larger than memory. The
        service cuts them to messages, checks them, and closes the generator, which may raise StoreError.

        Raises:
            NotFoundError: there is no such object.
            StoreError: the store could not.
        """
        ...

    async def request_task(
        self, namespace: str, name: str, candidate: str, kind: TaskKind, parameters: Manifest, caller: Caller
    ) -> None:
        """Ask for a task on a candidate; return when that is durable. One that is open already is left as it is.

        Raises:
            NotBegunError: the search was not accepted yet.
            NotFoundError: no such candidate.
            InvalidInputError: the task is not possible; the sentence says why.
        """
        ...
