"""What the operator relies on of a Kubernetes API server, on the fake and (marked e2e) on a real one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.api_site import NAMESPACES, QUICK, Site
from xnas_operator.kube import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    PODS,
    SEARCHES,
    SECRETS,
    SERVICE_ACCOUNTS,
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    JsonObject,
    KubeClient,
    NotFoundError,
    WatchEvent,
)

QUICKSTART = yaml.safe_load((Path(__file__).parents[2] / "examples/quickstart.yaml").read_text())


HOLD = "example.org/held"
"""Not the finalizer that an operator on the same cluster removes."""


def search(**metadata: object) -> JsonObject:
    body: JsonObject = QUICKSTART | {"metadata": {"name": "digits"} | metadata}
    return body


def config_map(name: str, data: object = None, **metadata: object) -> JsonObject:
    return {"metadata": {"name": name} | metadata, "data": data or {}}


def job(parallelism: int = 0, image: str = "none") -> JsonObject:
    pod = {"restartPolicy": "Never", "containers": [{"name": "evaluator", "image": image}]}
    spec = {"completionMode": "Indexed", "parallelism": parallelism, "completions": 2, "template": {"spec": pod}}
    return {"metadata": {"name": "pool"}, "spec": spec}


def version(item: JsonObject) -> str:
    return str(item["metadata"]["resourceVersion"])


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    # A garbage collector looks for new custom resources only every 30 s.
    async with asyncio.timeout(90):
        while not await condition():  # noqa: ASYNC110  (a cluster sets no event)
            await asyncio.sleep(0.05)


async def absent(site: Site, resource: Any, name: str) -> bool:
    try:
        await site.kube.get(resource, site.namespace, name)
    except NotFoundError:
        return True
    return False


async def test_create_gives_identity_and_refuses_a_second(site: Site) -> None:
    made = await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one", {"a": "1"}))
    found = await site.kube.get(CONFIG_MAPS, site.namespace, "one")
    assert found == made
    assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {"a": "1"})
    assert found["metadata"]["uid"]
    assert found["metadata"]["creationTimestamp"].endswith("Z")
    with pytest.raises(AlreadyExistsError, match="already exists"):
        await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one"))
    assert await site.kube.create_or_get(CONFIG_MAPS, site.namespace, config_map("one")) == (made, False)
    other, created = await site.kube.create_or_get(CONFIG_MAPS, site.namespace, config_map("two"))
    assert created
    assert other["metadata"]["uid"] != made["metadata"]["uid"]


async def test_what_is_not_there_is_not_found(site: Site) -> None:
    with pytest.raises(NotFoundError, match='configmaps "none" not found'):
        await site.kube.get(CONFIG_MAPS, site.namespace, "none")
    with pytest.raises(NotFoundError, match='namespaces "no-such-space" not found'):
        await site.kube.create(CONFIG_MAPS, "no-such-space", config_map("one"))
    with pytest.raises(NotFoundError):
        await site.kube.merge_patch(CONFIG_MAPS, site.namespace, "none", {"data": {"a": "1"}})
    assert not await site.kube.delete(CONFIG_MAPS, site.namespace, "none")


async def test_bad_names_and_labels_are_invalid(site: Site) -> None:
    with pytest.raises(InvalidError, match="Bad_Name"):
        await site.kube.create(CONFIG_MAPS, site.namespace, config_map("Bad_Name"))
    with pytest.raises(InvalidError, match="labels"):
        await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one", labels={"a": "x" * 64}))


async def test_generate_name_makes_distinct_names(site: Site) -> None:
    body = {"metadata": {"generateName": "search-"}}
    names = {(await site.kube.create(CONFIG_MAPS, site.namespace, body))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("search-") for name in names)


async def test_status_and_spec_are_written_apart(site: Site) -> None:
    made = await site.kube.create(SEARCHES, site.namespace, search() | {"status": {"state": "Invented"}})
    uid = made["metadata"]["uid"]
    assert made["metadata"]["generation"] == 1
    assert "status" not in made
    told = await site.kube.replace_status(SEARCHES, site.namespace, "digits", {"state": "Running"}, uid=uid)
    assert told["status"]["state"] == "Running"
    assert told["metadata"]["generation"] == 1
    patch = {"spec": {"suspend": True}, "status": {"state": "Other"}}
    changed = await site.kube.merge_patch(SEARCHES, site.namespace, "digits", patch)
    assert (changed["spec"]["suspend"], changed["status"]["state"]) == (True, "Running")
    assert changed["metadata"]["generation"] == 2
    labelled = await site.kube.merge_patch(SEARCHES, site.namespace, "digits", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2
    assert version(labelled) != version(changed)


async def test_a_write_that_changes_nothing_makes_no_version(site: Site) -> None:
    made = await site.kube.create(SEARCHES, site.namespace, search())
    uid = made["metadata"]["uid"]
    told = await site.kube.replace_status(SEARCHES, site.namespace, "digits", {"state": "Running"}, uid=uid)
    assert version(told) != version(made)
    again = await site.kube.replace_status(SEARCHES, site.namespace, "digits", {"state": "Running"}, uid=uid)
    same = await site.kube.merge_patch(SEARCHES, site.namespace, "digits", {"spec": {"seed": made["spec"]["seed"]}})
    assert version(again) == version(same) == version(told)


async def test_null_in_a_merge_patch_removes(site: Site) -> None:
    await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one", {"a": "1", "b": "2"}))
    patched = await site.kube.merge_patch(CONFIG_MAPS, site.namespace, "one", {"data": {"a": None}})
    assert patched["data"] == {"b": "2"}


async def test_a_whole_status_goes_only_to_the_object_that_it_is_about(site: Site) -> None:
    made = await site.kube.create(SEARCHES, site.namespace, search())
    uid = made["metadata"]["uid"]
    for state in ("Running", "Complete"):
        told = await site.kube.replace_status(SEARCHES, site.namespace, "digits", {"state": state}, uid=uid)
        assert told["status"]["state"] == state
    with pytest.raises(ConflictError, match="another ArchitectureSearch has the name"):
        await site.kube.replace_status(SEARCHES, site.namespace, "digits", {"state": "Failed"}, uid="former")
    assert (await site.kube.get(SEARCHES, site.namespace, "digits"))["status"]["state"] == "Complete"


async def test_a_uid_is_immutable(site: Site) -> None:
    made = await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one"))
    with pytest.raises(InvalidError, match=r"metadata\.uid.*immutable"):
        await site.kube.merge_patch(CONFIG_MAPS, site.namespace, "one", {"metadata": {"uid": "other"}})
    with pytest.raises(ConflictError, match=r"Precondition failed"):
        await site.kube.replace(CONFIG_MAPS, site.namespace, made | {"metadata": made["metadata"] | {"uid": "other"}})


async def test_a_stale_replacement_is_a_conflict(site: Site) -> None:
    made = await site.kube.create(LEASES, site.namespace, {"metadata": {"name": "one"}, "spec": {}})
    fresh = made | {"spec": {"holderIdentity": "a", "renewTime": "2026-01-01T00:00:00.000001Z"}}
    done = await site.kube.replace(LEASES, site.namespace, fresh)
    assert done["spec"] == fresh["spec"]
    with pytest.raises(ConflictError):
        await site.kube.replace(LEASES, site.namespace, made | {"spec": {"holderIdentity": "b"}})
    blind = {"metadata": {"name": "one"}, "spec": {"holderIdentity": "b"}}
    with pytest.raises(InvalidError, match="resourceVersion"):
        await site.kube.replace(LEASES, site.namespace, {"apiVersion": "coordination.k8s.io/v1", **blind})


async def test_apply_creates_changes_and_removes_what_it_owned(site: Site) -> None:
    await site.kube.apply(CONFIG_MAPS, site.namespace, config_map("one", {"a": "1", "b": "2"}))
    await site.kube.merge_patch(CONFIG_MAPS, site.namespace, "one", {"data": {"theirs": "3"}})
    changed = await site.kube.apply(CONFIG_MAPS, site.namespace, config_map("one", {"a": "9"}))
    assert changed["data"] == {"a": "9", "theirs": "3"}
    again = await site.kube.apply(CONFIG_MAPS, site.namespace, config_map("one", {"a": "9"}))
    assert version(again) == version(changed)
    taken = await site.kube.apply(CONFIG_MAPS, site.namespace, config_map("one", {"a": "9", "theirs": "4"}))
    assert taken["data"] == {"a": "9", "theirs": "4"}


async def test_delete_has_a_uid_precondition(site: Site) -> None:
    made = await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one"))
    with pytest.raises(ConflictError, match=r"[Pp]recondition"):
        await site.kube.delete(CONFIG_MAPS, site.namespace, "one", uid="another")
    assert await site.kube.delete(CONFIG_MAPS, site.namespace, "one", uid=made["metadata"]["uid"])
    assert await absent(site, CONFIG_MAPS, "one")


async def test_finalizers_hold_what_is_deleted(site: Site) -> None:
    await site.kube.create(SEARCHES, site.namespace, search(finalizers=[HOLD]))
    assert await site.kube.delete(SEARCHES, site.namespace, "digits")
    held = await site.kube.get(SEARCHES, site.namespace, "digits")
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["generation"] == 2
    await site.kube.merge_patch(SEARCHES, site.namespace, "digits", {"metadata": {"finalizers": None}})
    assert await absent(site, SEARCHES, "digits")


async def test_what_a_search_owns_goes_with_it(site: Site) -> None:
    owner = await site.kube.create(SEARCHES, site.namespace, search())
    reference = {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "name": "digits"}
    owners = [reference | {"uid": owner["metadata"]["uid"], "controller": True}]
    await site.kube.create(CONFIG_MAPS, site.namespace, config_map("owned", ownerReferences=owners))
    await site.kube.create(CONFIG_MAPS, site.namespace, config_map("free"))
    await site.kube.delete(SEARCHES, site.namespace, "digits")
    await eventually(lambda: absent(site, CONFIG_MAPS, "owned"))
    assert not await absent(site, CONFIG_MAPS, "free")


async def test_an_indexed_job_scales_only_with_both_numbers(site: Site) -> None:
    await site.kube.apply(JOBS, site.namespace, job())
    with pytest.raises(InvalidError, match="template"):
        await site.kube.apply(JOBS, site.namespace, job(image="other"))
    scaled = {"spec": {"parallelism": 0, "completions": 0}}
    patched = await site.kube.merge_patch(JOBS, site.namespace, "pool", scaled)
    assert patched["spec"]["completions"] == 0
    with pytest.raises(InvalidError, match="completions"):
        await site.kube.merge_patch(JOBS, site.namespace, "pool", {"spec": {"completions": 3}})


async def test_a_job_names_itself_in_its_template(site: Site) -> None:
    made = await site.kube.create(JOBS, site.namespace, job())
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == "pool"
    assert labels["batch.kubernetes.io/controller-uid"] == made["metadata"]["uid"]
    assert made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] == made["metadata"]["uid"]
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=x", {"one", "two"}),
        ("app==x,tier=front", {"one"}),
        ("app!=x", {"three", "four"}),
        ("app", {"one", "two", "three"}),
        ("!app", {"four"}),
        ("app in (x,y),tier notin (back)", {"one", "three"}),
    ],
)
async def test_label_selectors(site: Site, selector: str, names: set[str]) -> None:
    labels = {"one": {"app": "x", "tier": "front"}, "two": {"app": "x", "tier": "back"}, "three": {"app": "y"}}
    for name in ("one", "two", "three", "four"):
        body = config_map(name, labels={"own": "yes"} | labels.get(name, {}))
        await site.kube.create(CONFIG_MAPS, site.namespace, body)
    listing = await site.kube.list(CONFIG_MAPS, site.namespace, labels=f"own,{selector}")
    assert {item["metadata"]["name"] for item in listing.items} == names


async def test_field_selectors(site: Site) -> None:
    await site.kube.create(CONFIG_MAPS, site.namespace, config_map("one"))
    await site.kube.create(CONFIG_MAPS, site.namespace, config_map("two"))
    listing = await site.kube.list(CONFIG_MAPS, site.namespace, fields="metadata.name=two")
    assert [item["metadata"]["name"] for item in listing.items] == ["two"]
    with pytest.raises(InvalidError, match=r"field (label|selector)"):
        await site.kube.list(CONFIG_MAPS, site.namespace, fields="data.a=1")


async def test_lists_come_in_pages_and_name_their_kind(site: Site) -> None:
    for number in range(7):
        await site.kube.create(CONFIG_MAPS, site.namespace, config_map(f"n{number}", labels={"own": "yes"}))
    listing = await site.kube.list(CONFIG_MAPS, site.namespace, labels="own", page=3)
    assert [item["metadata"]["name"] for item in listing.items] == [f"n{number}" for number in range(7)]
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("v1", "ConfigMap")}
    assert listing.version


async def collect(events: Any, until: Callable[[list[WatchEvent]], bool]) -> list[WatchEvent]:
    seen: list[WatchEvent] = []
    async with asyncio.timeout(30):
        async for event in events:
            seen.append(event)
            if until(seen):
                break
    await events.aclose()
    return seen


def told(seen: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.object.get("metadata", {}).get("name", "")) for event in seen]


async def test_a_watch_tells_what_enters_changes_and_leaves_the_selector(site: Site) -> None:
    kube, space = site.kube, site.namespace
    await kube.create(CONFIG_MAPS, space, config_map("before", labels={"own": "yes"}))

    async def change() -> None:
        await kube.create(CONFIG_MAPS, space, config_map("other"))
        await kube.create(CONFIG_MAPS, space, config_map("one", labels={"own": "yes"}))
        await kube.merge_patch(CONFIG_MAPS, space, "one", {"data": {"a": "1"}})
        await kube.merge_patch(CONFIG_MAPS, space, "one", {"metadata": {"labels": {"own": None}}})
        await kube.merge_patch(CONFIG_MAPS, space, "other", {"metadata": {"labels": {"own": "yes"}}})
        await asyncio.sleep(1.2)  # longer than one watch request
        await kube.delete(CONFIG_MAPS, space, "before")

    events = kube.watch(CONFIG_MAPS, space, labels="own=yes", timeout_s=1)
    first = await anext(events)
    assert told([first]) == [("ADDED", "before")]
    assert (await anext(events)).type == "SYNCED"
    changing = asyncio.create_task(change())
    seen = await collect(events, lambda seen: len(seen) == 5)
    await changing
    assert told(seen) == [
        ("ADDED", "one"),
        ("MODIFIED", "one"),
        ("DELETED", "one"),
        ("ADDED", "other"),
        ("DELETED", "before"),
    ]


async def test_token_reviews_know_audience_and_pod(site: Site) -> None:
    await site.kube.create(SERVICE_ACCOUNTS, site.namespace, {"metadata": {"name": "digits-evaluator"}})
    spec: JsonObject = {"serviceAccountName": "digits-evaluator", "containers": [{"name": "e", "image": "none"}]}
    spec |= {"nodeSelector": {"xnas.dev/no-such-node": "true"}, "restartPolicy": "Never"}
    pod = await site.kube.create(PODS, site.namespace, {"metadata": {"name": "pool-0"}, "spec": spec})
    token = await site.issue_token("digits-evaluator", ["xnas"], "pool-0")
    status = await site.kube.token_review(token, ["xnas"])
    assert status.authenticated
    assert status.username == f"system:serviceaccount:{site.namespace}:digits-evaluator"
    assert status.extra is not None
    assert status.extra["authentication.kubernetes.io/pod-name"] == ("pool-0",)
    assert status.extra["authentication.kubernetes.io/pod-uid"] == (pod["metadata"]["uid"],)
    assert status.audiences == ("xnas",)
    for other, audience in ((token, "another"), ("no-token-at-all", "xnas")):
        refused = await site.kube.token_review(other, [audience])
        assert not refused.authenticated
        assert refused.error


async def test_a_pod_that_runs_nowhere_goes_at_once(site: Site) -> None:
    await site.kube.create(SERVICE_ACCOUNTS, site.namespace, {"metadata": {"name": "idle"}})
    spec = {"containers": [{"name": "e", "image": "none"}], "nodeSelector": {"xnas.dev/no-such-node": "true"}}
    body = {"metadata": {"name": "idle"}, "spec": spec | {"serviceAccountName": "idle"}}
    made = await site.kube.create(PODS, site.namespace, body)
    assert made["status"]["phase"] == "Pending"
    await site.kube.delete(PODS, site.namespace, "idle")
    assert await absent(site, PODS, "idle")


async def test_access_reviews(site: Site) -> None:
    question: Any = {"verb": "get", "group": "xnas.dev", "resource": "architecturesearches"}
    question |= {"namespace": site.namespace, "name": "digits"}
    review = site.kube.subject_access_review
    assert await review(user="root", groups=["system:masters"], **question)
    assert not await review(user="nobody", groups=["system:authenticated"], **question)


async def test_a_token_that_nobody_issued_is_refused(site: Site, tmp_path: Path) -> None:
    document = yaml.safe_load(site.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": "made-up"}
    path = tmp_path / "stranger"
    path.write_text(yaml.safe_dump(document))
    async with await KubeClient.connect(kubeconfig=path, patience=QUICK) as stranger:
        with pytest.raises(ForbiddenError, match="Unauthorized"):
            await stranger.list(CONFIG_MAPS, site.namespace)


async def test_secrets_take_text(site: Site) -> None:
    body = {"metadata": {"name": "one"}, "stringData": {"a": "text"}}
    made = await site.kube.create(SECRETS, site.namespace, body)
    assert base64.b64decode(made["data"]["a"]) == b"text"
    assert made["type"] == "Opaque"
    assert "stringData" not in made


async def test_events_are_kept_beside_their_object(site: Site) -> None:
    owner = await site.kube.create(SEARCHES, site.namespace, search())
    about = {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "name": "digits"}
    about |= {"namespace": site.namespace, "uid": owner["metadata"]["uid"]}
    body = {"metadata": {"generateName": "digits-"}, "involvedObject": about, "reason": "Started", "type": "Normal"}
    await site.kube.create(EVENTS, site.namespace, body)
    listing = await site.kube.list(EVENTS, site.namespace, fields="involvedObject.name=digits")
    assert [item["reason"] for item in listing.items] == ["Started"]


async def test_a_deleted_namespace_takes_all_with_it(site: Site) -> None:
    name = f"{site.namespace}-b"
    made = await site.kube.create(NAMESPACES, "", {"metadata": {"name": name}})
    assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == name
    held = search(finalizers=[HOLD])
    await site.kube.create(SEARCHES, name, held)
    await site.kube.delete(NAMESPACES, "", name)

    async def marked() -> bool:
        return bool((await site.kube.get(SEARCHES, name, "digits"))["metadata"].get("deletionTimestamp"))

    await eventually(marked)
    with pytest.raises(ForbiddenError, match="terminated"):
        await site.kube.create(CONFIG_MAPS, name, config_map("late"))
    await site.kube.merge_patch(SEARCHES, name, "digits", {"metadata": {"finalizers": None}})

    async def gone() -> bool:
        listing = await site.kube.list(NAMESPACES, fields=f"metadata.name={name}")
        return not listing.items

    await eventually(gone)
