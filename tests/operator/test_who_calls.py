"""Tokens, rights and evaluators' identities, against the fake API server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from xnas_core.dispatch.door import CallRefusedError
from xnas_core.service.errors import UnauthenticatedError, UnavailableError
from xnas_core.service.interface import Caller
from xnas_core.testing.fake_api import FakeApi, Fault, Token, User
from xnas_operator.auth import EvaluatorIdentities, EvaluatorIdentity, KubeAuthorizer, TokenAuthenticator
from xnas_operator.kube import PODS, SEARCHES, InvalidError, KubeClient

CONTROLLER = {"controller": True, "blockOwnerDeletion": True}


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Parts:
    api: FakeApi
    clock: Clock
    tokens: TokenAuthenticator
    access: KubeAuthorizer
    evaluators: EvaluatorIdentities

    def asked(self, resource: str) -> int:
        return sum(request.resource == resource for request in self.api.requests)


@pytest.fixture
def parts(api: FakeApi, kube: KubeClient) -> Parts:
    clock = Clock()
    tokens = TokenAuthenticator(kube, size=10, clock=clock)
    access = KubeAuthorizer(kube, tokens, size=10, clock=clock)
    return Parts(api, clock, tokens, access, EvaluatorIdentities(kube, access, clock=clock))


def bearer(token: str, search: str = "") -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} | ({"xnas-search": search} if search else {})


def pool(api: FakeApi, name: str = "digits", namespace: str = "team") -> tuple[str, str]:
    """A search with Job, pod and token. Returns the token and the search's uid."""
    where = {"namespace": namespace}
    search = api.create(
        {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "metadata": {"name": name, **where}}
    )
    to_search = {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "name": name}
    owners = [to_search | CONTROLLER | {"uid": search["metadata"]["uid"]}]
    metadata = {"name": f"{name}-evaluators", "ownerReferences": owners, **where}
    template = {"spec": {"restartPolicy": "Never"}}
    job = api.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}})
    to_job = {"apiVersion": "batch/v1", "kind": "Job", "name": f"{name}-evaluators"}
    owners = [to_job | CONTROLLER | {"uid": job["metadata"]["uid"]}]
    metadata = {"name": f"{name}-evaluators-0", "ownerReferences": owners, **where}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n1"}})
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": f"{name}-evaluator", **where}})
    token = api.issue_token(namespace, f"{name}-evaluator", pod=f"{name}-evaluators-0")
    return token, search["metadata"]["uid"]


# Tokens


async def test_a_token_is_asked_about_once_a_minute(parts: Parts) -> None:
    parts.api.identities.tokens["t"] = Token(User("ann", ("team-a",), "u1", {"k": ("v",)}), ("xnas",))
    for _ in range(3):
        assert await parts.tokens.authenticate(bearer("t")) == Caller("ann", ("team-a",), "u1", {"k": ("v",)})
    await asyncio.gather(*(parts.tokens.authenticate(bearer("t")) for _ in range(5)))
    assert parts.asked("tokenreviews") == 1
    parts.clock.now = 59
    del parts.api.identities.tokens["t"]
    await parts.tokens.authenticate(bearer("t"))
    parts.clock.now = 61
    with pytest.raises(UnauthenticatedError, match="kubectl create token"):
        await parts.tokens.authenticate(bearer("t"))


async def test_many_first_calls_at_once_ask_once(parts: Parts) -> None:
    parts.api.identities.tokens["t"] = Token(User("ann"), ("xnas",))
    await asyncio.gather(*(parts.tokens.authenticate(bearer("t")) for _ in range(20)))
    assert parts.asked("tokenreviews") == 1


async def test_a_refusal_is_kept_for_seconds_only(parts: Parts) -> None:
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await parts.tokens.authenticate(bearer("t"))
    assert parts.asked("tokenreviews") == 1
    parts.api.identities.tokens["t"] = Token(User("ann"), ("xnas",))
    parts.clock.now = 5.1
    assert (await parts.tokens.authenticate(bearer("t"))).username == "ann"


async def test_a_token_for_another_audience_is_refused(parts: Parts) -> None:
    parts.api.identities.tokens["t"] = Token(User("ann"))
    with pytest.raises(UnauthenticatedError, match="audience 'xnas'"):
        await parts.tokens.authenticate(bearer("t"))


@pytest.mark.parametrize(
    "metadata",
    [{}, {"authorization": ""}, {"authorization": "Basic YTpi"}, bearer(""), bearer("x" * 20_000), bearer("a\x00b")],
)
async def test_what_is_no_token_is_refused_unasked(parts: Parts, metadata: dict[str, str]) -> None:
    with pytest.raises(UnauthenticatedError):
        await parts.tokens.authenticate(metadata)
    assert parts.asked("tokenreviews") == 0


async def test_tokens_are_not_kept_and_the_memory_is_bounded(parts: Parts) -> None:
    for number in range(30):
        parts.api.identities.tokens[f"secret-{number}"] = Token(User("ann"), ("xnas",))
        await parts.tokens.authenticate(bearer(f"secret-{number}"))
    memory = parts.tokens._memory
    assert len(memory) == 10
    assert "secret-" not in repr(memory._answers)


async def test_an_outage_is_not_a_refusal(parts: Parts) -> None:
    parts.api.identities.tokens["t"] = Token(User("ann"), ("xnas",))
    fault = parts.api.faults.add(Fault(code=503, resource="tokenreviews", times=None))
    with pytest.raises(UnavailableError) as caught:
        await parts.tokens.authenticate(bearer("t"))
    assert "Bearer" not in str(caught.value)
    assert fault.hits == 4
    parts.api.faults.clear()
    assert (await parts.tokens.authenticate(bearer("t"))).username == "ann"


async def test_a_caller_who_gives_up_does_not_take_the_others_along(parts: Parts) -> None:
    parts.api.identities.tokens["t"] = Token(User("ann"), ("xnas",))
    parts.api.faults.add(Fault(resource="tokenreviews", delay_s=0.2))
    first = asyncio.create_task(parts.tokens.authenticate(bearer("t")))
    second = asyncio.create_task(parts.tokens.authenticate(bearer("t")))
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).username == "ann"
    assert parts.asked("tokenreviews") == 1


# Rights


async def test_rights_are_those_of_the_cluster(parts: Parts) -> None:
    ann = Caller("ann", ("team-a",))
    parts.api.identities.allow(
        "team-a", verbs=["get"], groups=["xnas.dev"], resources=["architecturesearches"], namespaces=["team"]
    )
    assert await parts.access.allowed(ann, "get", "team", "digits")
    assert not await parts.access.allowed(ann, "delete", "team", "digits")
    assert not await parts.access.allowed(ann, "get", "other", "digits")
    assert not await parts.access.allowed(ann, "list", "", "")
    assert not await parts.access.allowed(Caller("bob", ("team-b",)), "get", "team", "digits")
    assert not await parts.access.may(ann, "create", "team", group="batch", resource="jobs")


async def test_a_right_is_asked_about_again_after_seconds(parts: Parts) -> None:
    ann = Caller("ann")
    assert not await parts.access.allowed(ann, "get", "team", "digits")
    parts.api.identities.allow("ann")
    assert not await parts.access.allowed(ann, "get", "team", "digits")
    parts.clock.now = 10.1
    assert await parts.access.allowed(ann, "get", "team", "digits")
    assert parts.asked("subjectaccessreviews") == 2


async def test_callers_with_one_name_and_other_groups_are_told_apart(parts: Parts) -> None:
    parts.api.identities.allow("admins")
    assert await parts.access.allowed(Caller("ann", ("admins",)), "get", "team", "digits")
    assert not await parts.access.allowed(Caller("ann", ("guests",)), "get", "team", "digits")


async def test_rights_that_cannot_be_asked_for_are_unavailable(parts: Parts) -> None:
    parts.api.faults.add(Fault(code=500, resource="subjectaccessreviews", times=None))
    with pytest.raises(UnavailableError):
        await parts.access.allowed(Caller("ann"), "get", "team", "digits")


# Evaluators


async def test_an_evaluator_serves_the_search_of_its_pod(parts: Parts) -> None:
    token, uid = pool(parts.api)
    pod = parts.api.get("pods", "team", "digits-evaluators-0")
    expected = EvaluatorIdentity("team", "digits", uid, "digits-evaluators-0", pod["metadata"]["uid"])
    assert await parts.evaluators.resolve(bearer(token)) == expected
    assert await parts.evaluators.resolve(bearer(token, "team/digits")) == expected
    assert expected.evaluator == "digits-evaluators-0"
    assert (parts.asked("pods"), parts.asked("jobs")) == (1, 1)


async def refusal(parts: Parts, token: str, search: str = "") -> tuple[str, str]:
    parts.clock.now += 5.1  # longer than a refusal is kept
    with pytest.raises(CallRefusedError) as caught:
        await parts.evaluators.resolve(bearer(token, search))
    return caught.value.refusal, str(caught.value)


async def test_a_refused_pod_that_asks_again_costs_nothing(parts: Parts) -> None:
    token, _ = pool(parts.api)
    parts.api.delete("jobs", "team", "digits-evaluators", propagationPolicy="Orphan")
    for _ in range(10):
        with pytest.raises(CallRefusedError, match="belongs to no Job"):
            await parts.evaluators.resolve(bearer(token))
    assert parts.asked("pods") == 1


async def test_an_evaluator_may_not_serve_another_search(parts: Parts) -> None:
    token, _ = pool(parts.api)
    pool(parts.api, "fashion")
    pool(parts.api, "digits", "other")
    for other in ("team/fashion", "other/digits"):
        kind, sentence = await refusal(parts, token, other)
        assert (kind, "belongs to the search team/digits" in sentence) == ("permissionDenied", True)


async def test_a_token_outlives_neither_pod_nor_job_nor_search(parts: Parts) -> None:
    token, _ = pool(parts.api)
    parts.api.set_status("pods", "team", "digits-evaluators-0", {"phase": "Failed"})
    assert "has ended" in (await refusal(parts, token, "team/digits"))[1]
    parts.api.delete("pods", "team", "digits-evaluators-0")
    assert "does not exist" in (await refusal(parts, token))[1]
    parts.api.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "digits-evaluators-0", "namespace": "team"}}
    )
    assert "another one has its name" in (await refusal(parts, token))[1]


async def test_what_the_watches_have_seen_is_not_asked_for(parts: Parts, kube: KubeClient) -> None:
    token, uid = pool(parts.api)
    pod, job = parts.api.get("pods", "team", "digits-evaluators-0"), parts.api.get("jobs", "team", "digits-evaluators")
    seen = {pod["metadata"]["name"]: pod, job["metadata"]["name"]: job}
    evaluators = EvaluatorIdentities(kube, parts.access, seen=lambda _resource, _namespace, name: seen.get(name))
    identity = await evaluators.resolve(bearer(token))
    assert (identity.search_uid, identity.pod_name) == (uid, "digits-evaluators-0")
    assert (parts.asked("pods"), parts.asked("jobs")) == (0, 0)


async def test_a_pod_that_the_watches_show_under_another_uid_is_asked_for(parts: Parts, kube: KubeClient) -> None:
    token, uid = pool(parts.api)
    old = {"metadata": {"name": "digits-evaluators-0", "uid": "of an earlier pod"}}
    evaluators = EvaluatorIdentities(kube, parts.access, seen=lambda resource, *_: old if resource is PODS else None)
    assert (await evaluators.resolve(bearer(token))).search_uid == uid
    assert (parts.asked("pods"), parts.asked("jobs")) == (1, 1)


async def test_a_job_that_was_made_anew_is_another(parts: Parts) -> None:
    token, _ = pool(parts.api)
    old = parts.api.get("jobs", "team", "digits-evaluators")
    parts.api.delete("jobs", "team", "digits-evaluators", propagationPolicy="Orphan")
    assert "belongs to no Job" in (await refusal(parts, token))[1]
    parts.api.patch(
        "pods",
        "team",
        "digits-evaluators-0",
        {
            "metadata": {
                "ownerReferences": [
                    {
                        "apiVersion": "batch/v1",
                        "kind": "Job",
                        "name": "digits-evaluators",
                        "uid": old["metadata"]["uid"],
                    }
                    | CONTROLLER
                ]
            }
        },
    )
    assert "does not exist" in (await refusal(parts, token))[1]


@pytest.mark.parametrize(
    "owner",
    [
        {"apiVersion": "batch/v1", "kind": "Job", "controller": False},
        {"apiVersion": "evil.dev/v1", "kind": "Job", "controller": True},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True},
    ],
)
async def test_only_a_job_that_controls_the_pod_counts(parts: Parts, owner: dict[str, object]) -> None:
    token, _ = pool(parts.api)
    job = parts.api.get("jobs", "team", "digits-evaluators")["metadata"]
    references = [owner | {"name": job["name"], "uid": job["uid"]}]
    parts.api.patch("pods", "team", "digits-evaluators-0", {"metadata": {"ownerReferences": references}})
    assert await refusal(parts, token) == (
        "permissionDenied",
        "the pod team/digits-evaluators-0 belongs to no Job",
    )


async def test_an_account_without_a_pod_names_its_search_and_needs_the_right(parts: Parts) -> None:
    _, uid = pool(parts.api)
    parts.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "box", "namespace": "other"}})
    token = parts.api.issue_token("other", "box")
    assert "name the search to serve" in (await refusal(parts, token))[1]
    assert "may not serve the search team/digits" in (await refusal(parts, token, "team/digits"))[1]
    parts.api.identities.allow(
        "system:serviceaccount:other:box",
        verbs=["create"],
        groups=["xnas.dev"],
        resources=["architecturesearches/evaluators"],
        namespaces=["team"],
        names=["digits", "gone"],
    )
    parts.clock.now += 11
    identity = await parts.evaluators.resolve(bearer(token, "team/digits"))
    assert identity == EvaluatorIdentity("team", "digits", uid)
    assert identity.evaluator is None
    assert (await refusal(parts, token, "team/gone"))[0] == "failedPrecondition"
    assert (await refusal(parts, token, "team/fashion"))[0] == "permissionDenied"


async def test_the_right_to_edit_a_search_is_not_the_right_to_serve_it(parts: Parts) -> None:
    pool(parts.api)
    parts.api.identities.tokens["t"] = Token(User("ann"), ("xnas",))
    parts.api.identities.allow("ann", resources=["architecturesearches"])
    assert (await refusal(parts, "t", "team/digits"))[0] == "permissionDenied"


@pytest.mark.parametrize("search", ["team", "team/", "/digits", "team/..", "team/a/b", "../x", "team/A", "x" * 9000])
async def test_what_names_no_search_is_refused_before_anyone_is_asked(parts: Parts, search: str) -> None:
    parts.api.identities.tokens["t"] = Token(User("ann", ("system:masters",)), ("xnas",))
    assert (await refusal(parts, "t", search))[0] == "permissionDenied"
    assert parts.asked("architecturesearches") == parts.asked("subjectaccessreviews") == 0


async def test_no_token_is_unauthenticated_and_an_outage_unavailable(parts: Parts) -> None:
    token, _ = pool(parts.api)
    with pytest.raises(CallRefusedError) as caught:
        await parts.evaluators.resolve({})
    assert caught.value.refusal == "unauthenticated"
    parts.api.faults.add(Fault(code=500, resource="pods", times=None))
    assert (await refusal(parts, token))[0] == "unavailable"


async def test_names_cannot_leave_their_place_in_a_path(kube: KubeClient) -> None:
    for name in ("..", ".", "a/b", "a%2fb"):
        with pytest.raises(InvalidError):
            await kube.get(SEARCHES, "team", name)
        with pytest.raises(InvalidError):
            await kube.get(SEARCHES, name, "digits")
