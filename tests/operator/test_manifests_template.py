"""Templates over our pod: what they may add and change, and what they may not."""

from __future__ import annotations

import contextlib
import json
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api import ArchitectureSearch
from xnas_core.errors import InvalidInputError
from xnas_operator.manifests import EvaluatorDefaults, evaluator_job
from xnas_operator.manifests.merge import MERGE_KEYS, merge


def template(
    search: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, volume: bool = False
) -> dict[str, Any]:
    """Return the pod template of a search with these two templates."""
    claim = {"volume": {"persistentVolumeClaim": {"claimName": "images"}}} if volume else {}
    document = {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": "fashion", "namespace": "team-a", "uid": "u1"},
        "spec": {
            "searchSpace": {"name": "nas-bench-201"},
            "dataset": {"name": "digits", **claim},
            "objectives": [{"name": "accuracy", "direction": "maximize"}],
            "limits": {"maxEvaluations": 8},
            "evaluators": {"template": search or {}},
        },
    }
    defaults = EvaluatorDefaults("xnas.xnas.svc:8443", "example.org/evaluator:1", template=settings or {})
    job = evaluator_job(ArchitectureSearch.model_validate_json(json.dumps(document)), defaults)
    found: dict[str, Any] = job["spec"]["template"]
    return found


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "evaluator", **fields}]}}


def evaluator(made: dict[str, Any]) -> dict[str, Any]:
    (found,) = [c for c in made["spec"]["containers"] if c["name"] == "evaluator"]
    return dict(found)


def test_a_gpu_pool() -> None:
    made = template(
        {
            "metadata": {"labels": {"team": "vision"}, "annotations": {"note": "x"}},
            "spec": {
                "nodeSelector": {"gpu": "h100"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "runtimeClassName": "nvidia",
                "priorityClassName": "batch-low",
                "serviceAccountName": "trainer",
                "containers": [
                    {
                        "name": "evaluator",
                        "image": "example.org/mine:2",
                        "resources": {"requests": {"cpu": "6"}, "limits": {"nvidia.com/gpu": 1}},
                        "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
                    }
                ],
            },
        }
    )
    pod, ours = made["spec"], evaluator(made)
    assert ours["resources"] == {"requests": {"cpu": "6", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": 1}}
    assert ours["image"] == "example.org/mine:2"
    assert ours["command"] == ["python", "-m", "xnas_evaluator.agent"]
    assert {"name": "NCCL_DEBUG", "value": "INFO"} in ours["env"]
    assert any(item["name"] == "POD_NAME" for item in ours["env"])
    assert (pod["nodeSelector"], pod["serviceAccountName"]) == ({"gpu": "h100"}, "trainer")
    assert made["metadata"]["labels"]["team"] == "vision"
    assert made["metadata"]["labels"]["xnas.dev/search"] == "fashion"
    assert made["metadata"]["annotations"]["note"] == "x"


def test_the_searchs_template_goes_over_that_of_the_settings() -> None:
    one = {"key": "a", "value": "1", "effect": "NoSchedule"}
    unreachable = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    made = template(
        settings={
            "spec": {
                "tolerations": [one, {**unreachable, "tolerationSeconds": 30}],
                "nodeSelector": {"x": "1", "y": "1"},
            }
        },
        search={"spec": {"tolerations": [{**one, "value": "2"}, unreachable], "nodeSelector": {"x": "2"}}},
    )
    assert made["spec"]["tolerations"] == [one, unreachable, {**one, "value": "2"}]
    assert made["spec"]["nodeSelector"] == {"x": "2", "y": "1"}


def test_other_containers_volumes_and_mounts_are_added() -> None:
    made = template(
        {
            "spec": {
                "containers": [
                    {"name": "sidecar", "image": "busybox", "env": [{"name": "A", "value": None}]},
                    {"name": "evaluator", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
                ],
                "initContainers": [{"name": "fetch", "image": "busybox"}],
                "volumes": [{"name": "scratch", "emptyDir": {}}],
            }
        }
    )
    assert [c["name"] for c in made["spec"]["containers"]] == ["evaluator", "sidecar"]
    assert made["spec"]["containers"][1]["env"] == [{"name": "A"}], "null in what is new means: not there"
    assert made["spec"]["volumes"][-1] == {"name": "scratch", "emptyDir": {}}
    assert evaluator(made)["volumeMounts"][-1] == {"name": "scratch", "mountPath": "/scratch"}


def test_another_source_replaces_a_volume_and_the_same_one_is_merged() -> None:
    def cache(volume: dict[str, Any]) -> Any:
        volumes = template({"spec": {"volumes": [{"name": "cache", **volume}]}})["spec"]["volumes"]
        return next(v for v in volumes if v["name"] == "cache")

    shared = {"persistentVolumeClaim": {"claimName": "decoded"}}
    assert cache(shared) == {"name": "cache", **shared}
    assert cache({"emptyDir": {"sizeLimit": "5Gi"}}) == {"name": "cache", "emptyDir": {"sizeLimit": "5Gi"}}


def test_an_environment_variable_is_replaced_as_a_whole() -> None:
    by_secret = {"name": "HOME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    env = evaluator(template(container(env=[by_secret])))["env"]
    assert [item for item in env if item["name"] == "HOME"] == [by_secret]


def test_null_and_the_patch_directives_remove() -> None:
    made = template(
        {
            "spec": {
                "enableServiceLinks": None,
                "securityContext": {"fsGroup": None},
                "volumes": [{"name": "shm", "$patch": "delete"}],
                "containers": [
                    {
                        "name": "evaluator",
                        "volumeMounts": [{"mountPath": "/dev/shm", "$patch": "delete"}],
                        "resources": {"$patch": "replace", "limits": {"cpu": "2"}},
                    }
                ],
            }
        }
    )
    assert "enableServiceLinks" not in made["spec"]
    assert "fsGroup" not in made["spec"]["securityContext"]
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    assert "shm" not in [v["name"] for v in made["spec"]["volumes"]]
    assert "/dev/shm" not in [m["mountPath"] for m in evaluator(made)["volumeMounts"]]
    assert evaluator(made)["resources"] == {"limits": {"cpu": "2"}}


def test_a_longer_time_to_end_is_allowed_and_a_repeated_value_too() -> None:
    made = template({"spec": {"terminationGracePeriodSeconds": 300, "restartPolicy": "Never"}})
    assert made["spec"]["terminationGracePeriodSeconds"] == 300


def mount(path: str) -> dict[str, Any]:
    return container(volumeMounts=[{"name": "x", "mountPath": path}])


FORBIDDEN = [
    ({"spec": {"restartPolicy": "OnFailure"}}, "spec.restartPolicy"),
    ({"spec": {"restartPolicy": None}}, "spec.restartPolicy"),
    ({"spec": {"$patch": "replace"}}, "spec.restartPolicy"),
    ({"spec": None}, "spec.restartPolicy"),
    ({"spec": {"terminationGracePeriodSeconds": 10}}, "spec.terminationGracePeriodSeconds"),
    ({"spec": {"terminationGracePeriodSeconds": "60"}}, "spec.terminationGracePeriodSeconds"),
    ({"spec": {"volumes": [{"name": "xnas-token", "emptyDir": {}}]}}, "volumes[name=xnas-token]"),
    ({"spec": {"volumes": [{"name": "xnas-token", "$patch": "delete"}]}}, "volumes[name=xnas-token]"),
    ({"spec": {"volumes": [{"name": "xnas-ca", "configMap": {"name": "mine"}}]}}, "volumes[name=xnas-ca]"),
    ({"spec": {"volumes": [{"name": "xnas-ca", "configMap": {"optional": True}}]}}, "volumes[name=xnas-ca]"),
    (container(command=["sh"]), "containers[name=evaluator].command"),
    (container(args=["--connect", "elsewhere:1"]), "containers[name=evaluator].args"),
    (container(args=None), "containers[name=evaluator].args"),
    (container(env=[{"name": "POD_NAME", "value": "x"}]), "env[name=POD_NAME]"),
    (container(env=[{"name": "XNAS_TOKEN", "value": "x"}]), "env[name=XNAS_TOKEN]"),
    (mount("/etc/xnas/ca"), "volumeMounts[mountPath=/etc/xnas/ca]"),
    (mount("/etc/xnas/ca/"), "volumeMounts[mountPath=/etc/xnas/ca/]"),
    (mount("/var/run/secrets/xnas/token"), "volumeMounts[mountPath=/var/run/secrets/xnas/token]"),
    (mount("/etc/../etc/xnas//ca/ca.crt"), "volumeMounts[mountPath=/etc/../etc/xnas//ca/ca.crt]"),
    (container(**{"$patch": "delete"}), "containers[name=evaluator]"),
    ({"metadata": {"labels": {"xnas.dev/search": "other"}}}, "metadata.labels.xnas.dev/search"),
    ({"metadata": {"labels": {"app.kubernetes.io/name": None}}}, "metadata.labels.app.kubernetes.io/name"),
    ({"metadata": {"labels": {"batch.kubernetes.io/job-name": "x"}}}, "metadata.labels.batch.kubernetes.io/job-name"),
    ({"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "q"}}}, "spec.evaluators.queueName"),
    ({"metadata": {"labels": {"$patch": "replace"}}}, "metadata.labels"),
    ({"metadata": {"labels": None}}, "metadata.labels"),
    ({"metadata": None}, "metadata.labels"),
    ({"metadata": {"name": "x"}}, "metadata.name"),
    ({"metadata": {"ownerReferences": []}}, "metadata.ownerReferences"),
    ({"containers": []}, "template.containers"),
    ({"spec": {"containers": {"name": "evaluator"}}}, "spec.containers"),
    ({"spec": {"containers": [{"image": "x"}]}}, "spec.containers[0]"),
    ({"spec": {"containers": ["evaluator"]}}, "spec.containers[0]"),
    (container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]), "env[1]: A is there twice"),
    ({"spec": {"securityContext": "none"}}, "spec.securityContext"),
    ({"spec": ["x"]}, "template.spec"),
    ({"metadata": ["x"]}, "template.metadata"),
    ({"metadata": {"labels": [{}]}}, "template.metadata.labels"),
    ({"spec": {"$retainKeys": ["x"]}}, "$retainKeys"),
    ({"spec": {"securityContext": {"$patch": "merge"}}}, "securityContext.$patch"),
]


@pytest.mark.parametrize(("bad", "field"), FORBIDDEN, ids=[field for _, field in FORBIDDEN])
def test_what_is_ours_is_refused_by_name(bad: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        template(search=bad)
    assert str(caught.value).startswith("spec.evaluators.template")
    assert field in str(caught.value)
    with pytest.raises(InvalidInputError) as caught:
        template(settings=bad)
    assert str(caught.value).startswith("evaluator.template (the operator's settings)")


def test_data_is_ours_only_where_the_search_has_a_volume() -> None:
    assert evaluator(template(mount("/data")))["volumeMounts"][-1]["mountPath"] == "/data"
    with pytest.raises(InvalidInputError, match="mountPath=/data"):
        template(mount("/data"), volume=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PLACES = [
    ("metadata",), ("metadata", "labels"), ("spec",), ("spec", "containers"), ("spec", "volumes"),
    ("spec", "containers", "resources"), ("spec", "containers", "resources", "limits"),
    ("spec", "containers", "resources", "limits", "memory"), ("spec", "containers", "env"),
    ("spec", "containers", "volumeMounts"), ("spec", "terminationGracePeriodSeconds"), ("spec", "tolerations"),
]  # fmt: skip


@given(st.sampled_from(PLACES), JSON)
def test_whatever_stands_in_a_template_there_is_a_job_or_a_sentence(place: tuple[str, ...], value: Any) -> None:
    """The API server takes any JSON there, so an author may write any."""
    for above, name in reversed(list(pairwise(place))):
        value = [{"name": "evaluator", name: value}] if above == "containers" else {name: value}
    with contextlib.suppress(InvalidInputError):
        template({place[0]: value})


# --- merging ----------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.integers(0, 3) | st.booleans(), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
ITEMS = st.builds(lambda name, rest: {**rest, "name": name}, NAMES, st.dictionaries(st.just("x"), VALUES))
LISTS = st.lists(ITEMS, max_size=3, unique_by=lambda item: item["name"])
MAPS = st.fixed_dictionaries({}, optional={"a": st.integers(0, 3), "containers": LISTS})


@given(MAPS, MAPS)
def test_merging_changes_neither_side_and_may_be_repeated(base: dict[str, Any], patch: dict[str, Any]) -> None:
    before = deepcopy((base, patch))
    try:
        once = merge(base, patch, "patch")
    except InvalidInputError:
        return  # a number over a map
    assert (base, patch) == before
    assert merge(once, patch, "patch") == once
    assert merge(base, {}, "patch") == base
    names = [item["name"] for item in once.get("containers", [])]
    assert len(names) == len(set(names))
    assert {item["name"] for item in patch.get("containers", [])} <= set(names)


def test_merged_lists_are_those_of_kubernetes() -> None:
    """The patch merge keys of PodSpec and Container (k8s.io/api/core/v1 types.go), tolerations being ours."""
    assert {name: keys[0] for name, keys in MERGE_KEYS.items() if name != "tolerations"} == {
        "claims": "name", "containers": "name", "env": "name", "hostAliases": "ip", "imagePullSecrets": "name",
        "initContainers": "name", "ports": "containerPort", "resourceClaims": "name", "schedulingGates": "name",
        "topologySpreadConstraints": "topologyKey", "volumeDevices": "devicePath", "volumeMounts": "mountPath",
        "volumes": "name",
    }  # fmt: skip
    two = merge(
        {"ports": [{"containerPort": 1, "name": "a"}]}, {"ports": [{"containerPort": 1, "protocol": "UDP"}]}, "p"
    )
    assert len(two["ports"]) == 2, "UDP and TCP are two ports"
