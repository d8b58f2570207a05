"""Which search an evaluator may serve: its token names its pod, the pod its Job, the Job its search.

An evaluator outside the cluster has no pod. It may serve the one search that it names in the metadata
`xnas-search: NAMESPACE/NAME`, if its account has the verb create on that search's subresource `evaluators`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xnas_core.dispatch.door import CallRefusedError
from xnas_core.service.errors import UnauthenticatedError, UnavailableError
from xnas_core.service.interface import Caller
from xnas_operator.auth.access import KubeAuthorizer
from xnas_operator.auth.memory import Memory
from xnas_operator.kube import JOBS, PODS, SEARCHES, JsonObject, KubeClient, KubeError, NotFoundError, Resource

POD_NAME_KEY = "authentication.kubernetes.io/pod-name"
POD_UID_KEY = "authentication.kubernetes.io/pod-uid"
SEARCH_KEY = "xnas-search"
IDENTITY_S = 60.0
"""How long a pod's belonging is not looked up again."""
REFUSAL_S = 5.0
_ACCOUNT = "system:serviceaccount:"
_NAMED = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class EvaluatorIdentity:
    """The search that an evaluator may serve.

    Attributes:
        pod_name, pod_uid: its pod; empty for one outside the cluster.
    """

    namespace: str
    search_name: str
    search_uid: str
    pod_name: str = ""
    pod_uid: str = ""

    @property
    def evaluator(self) -> str | None:
        """The only evaluator id that it may use: its pod's name. None: any, outside the cluster."""
        return self.pod_name or None


Seen = Callable[[Resource, str, str], JsonObject | None]


class EvaluatorIdentities:
    """Resolves the metadata of evaluators' calls. Use from one event loop.

    Args:
        seen: what the watches have seen of a pod or Job, by namespace and name. Only what they have not, or have seen
            with another uid, is asked of the API server. A pod that the watches still show after its end does no harm:
            the API server's review refuses its token.
    """

    def __init__(
        self,
        kube: KubeClient,
        authorizer: KubeAuthorizer,
        *,
        seen: Seen = lambda *_: None,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._seen = seen
        self._authorizer = authorizer
        # A refusal is kept as its sentence: a pod that is refused and asks again costs no request each time.
        self._memory: Memory[tuple[str, str, str], EvaluatorIdentity | str] = Memory(
            lambda found: REFUSAL_S if isinstance(found, str) else IDENTITY_S, size=size, clock=clock
        )

    async def resolve(self, metadata: Mapping[str, str]) -> EvaluatorIdentity:
        """The search that the caller may serve.

        Raises:
            CallRefusedError: none; the sentence says why. "unavailable" where nobody could be asked.
        """
        try:
            caller = await self._authorizer.authenticate(metadata)
            identity = await self._identity(caller, metadata.get(SEARCH_KEY, ""))
        except UnauthenticatedError as error:
            raise CallRefusedError("unauthenticated", str(error)) from error
        except (UnavailableError, KubeError) as error:
            sentence = f"who the evaluator is could not be checked at the moment: {error}"
            raise CallRefusedError("unavailable", sentence) from error
        wished = metadata.get(SEARCH_KEY, "")
        served = f"{identity.namespace}/{identity.search_name}"
        if wished not in ("", served):
            raise _denied(f"the evaluator's pod belongs to the search {served} and may not serve {wished[:200]}")
        return identity

    async def _identity(self, caller: Caller, wished: str) -> EvaluatorIdentity:
        extra = caller.extra or {}
        pod_name, pod_uid = _one(extra, POD_NAME_KEY), _one(extra, POD_UID_KEY)
        namespace = caller.username.removeprefix(_ACCOUNT).partition(":")[0]
        if caller.username.startswith(_ACCOUNT) and pod_name and pod_uid:
            key = (namespace, pod_name, pod_uid)
            found = await self._memory.get(key, lambda: self._looked_up(namespace, pod_name, pod_uid))
            if isinstance(found, EvaluatorIdentity):
                return found
            # A pod of somebody's own making may still have been given the right; else its own refusal says more.
            if not wished or not await self._right(caller, wished):
                raise _denied(found)
        return await self._outside(caller, wished)

    async def _looked_up(self, namespace: str, name: str, uid: str) -> EvaluatorIdentity | str:
        try:
            return await self._chain(namespace, name, uid)
        except CallRefusedError as refusal:
            return str(refusal)

    async def _chain(self, namespace: str, name: str, uid: str) -> EvaluatorIdentity:
        pod = await self._owner(PODS, namespace, name, uid, f"pod {namespace}/{name}")
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            raise _denied(f"the pod {namespace}/{name} of the token has ended")
        to_job = _controller(pod, JOBS, f"pod {namespace}/{name}")
        label = f"Job {namespace}/{to_job['name']}"
        job = await self._owner(JOBS, namespace, to_job["name"], to_job["uid"], label)
        to_search = _controller(job, SEARCHES, label)
        return EvaluatorIdentity(namespace, to_search["name"], to_search["uid"], name, uid)

    async def _owner(self, resource: Resource, namespace: str, name: str, uid: str, label: str) -> JsonObject:
        seen = self._seen(resource, namespace, name)
        if seen is not None and seen["metadata"]["uid"] == uid:
            return seen
        try:
            item = await self._kube.get(resource, namespace, name)
        except NotFoundError as error:
            raise _denied(f"the {label} that the token leads to does not exist") from error
        if item["metadata"]["uid"] != uid:
            raise _denied(f"the {label} that the token leads to is gone; another one has its name")
        return item

    async def _outside(self, caller: Caller, wished: str) -> EvaluatorIdentity:
        namespace, _, name = wished.partition("/")
        if not _NAMED.fullmatch(wished):
            sentence = f"the token of {caller.username} belongs to no evaluator pod; name the search to serve"
            raise _denied(f'{sentence} in the metadata "{SEARCH_KEY}: NAMESPACE/NAME" (--search)')
        if not await self._right(caller, wished):
            sentence = f"{caller.username} may not serve the search {namespace}/{name}"
            raise _denied(f"{sentence}; it needs the verb create on architecturesearches/evaluators there")
        try:
            search = await self._kube.get(SEARCHES, namespace, name)
        except NotFoundError as error:
            raise CallRefusedError("failedPrecondition", f"there is no search {namespace}/{name}") from error
        return EvaluatorIdentity(namespace, name, search["metadata"]["uid"])

    async def _right(self, caller: Caller, wished: str) -> bool:
        namespace, _, name = wished.partition("/")
        named = bool(_NAMED.fullmatch(wished))
        return named and await self._authorizer.may(caller, "create", namespace, name, subresource="evaluators")


def _one(extra: Mapping[str, tuple[str, ...]], key: str) -> str:
    values = extra.get(key, ())
    return values[0] if len(values) == 1 else ""


def _controller(item: JsonObject, kind: Resource, label: str) -> dict[str, str]:
    for owner in item["metadata"].get("ownerReferences") or []:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        if owner.get("controller") and owner.get("kind") == kind.kind and group == kind.group:
            return {"name": owner["name"], "uid": owner["uid"]}
    raise _denied(f"the {label} belongs to no {kind.kind}")


def _denied(sentence: str) -> CallRefusedError:
    return CallRefusedError("permissionDenied", sentence)
