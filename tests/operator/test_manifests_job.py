"""The Job contract and the evaluator pod, field by field; and every document as the API's own models read it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import kubernetes.aio.client as kube
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api import ArchitectureSearch
from xnas_core.errors import InvalidInputError
from xnas_operator.manifests import (
    EvaluatorDefaults,
    JobAction,
    Owner,
    ca_config_map,
    evaluator_job,
    job_change,
    job_name,
    object_name,
    plan_job,
    service_account,
)
from xnas_operator.manifests.quantity import memory_bytes

TRUSTED = EvaluatorDefaults("h:1", "i", ca_pem="PEM")
DEFAULTS = EvaluatorDefaults(address="xnas.xnas.svc:8443", image="example.org/evaluator:1", drain_seconds=30)
UID = "0b6f0a52-9d0b-4f1e-9a53-3c1c3a6c8f11"


def search(name: str = "fashion", dataset: dict[str, Any] | None = None, **evaluators: Any) -> ArchitectureSearch:
    return ArchitectureSearch.model_validate_json(
        json.dumps(
            {
                "apiVersion": "xnas.dev/v1alpha1",
                "kind": "ArchitectureSearch",
                "metadata": {"name": name, "namespace": "team-a", "uid": UID, "generation": 3},
                "spec": {
                    "searchSpace": {"name": "nas-bench-201"},
                    "dataset": dataset or {"name": "digits"},
                    "objectives": [{"name": "accuracy", "direction": "maximize"}],
                    "limits": {"maxEvaluations": 8},
                    "evaluators": evaluators,
                },
            }
        )
    )


def container(job: dict[str, Any], name: str = "evaluator") -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in job["spec"]["template"]["spec"]["containers"] if c["name"] == name)
    return found


def as_the_api_reads_it(model: Any, document: dict[str, Any]) -> Any:
    """Return the document after a journey through the API's model, which drops what it does not know."""
    # Its constructor wants an event loop; this method needs nothing.
    client: Any = kube.ApiClient.__new__(kube.ApiClient)
    return client.sanitize_for_serialization(model.from_dict(document))


def test_every_field_is_known_to_the_api() -> None:
    volume = {"persistentVolumeClaim": {"claimName": "images", "subPath": "a/b"}}
    full = search(dataset={"source": {"imageFolder": "/data/x"}, "volume": volume}, queueName="team-a", replicas=4)
    defaults = EvaluatorDefaults("h:1", "i", "Never", ("pull",), 5, {"spec": {"nodeSelector": {"a": "b"}}})
    documents = {
        kube.V1Job: evaluator_job(full, defaults),
        kube.V1ServiceAccount: service_account(full),
        kube.V1ConfigMap: ca_config_map(full, TRUSTED),
    }
    for model, document in documents.items():
        assert as_the_api_reads_it(model, document) == document


def test_that_check_finds_a_misspelt_field() -> None:
    job = evaluator_job(search(), DEFAULTS)
    job["spec"]["backofLimit"] = 1
    assert as_the_api_reads_it(kube.V1Job, job) != job


def test_the_job_contract() -> None:
    job = evaluator_job(search(replicas=4), DEFAULTS)
    spec = job["spec"]
    assert (spec["parallelism"], spec["completions"], spec["completionMode"]) == (4, 4, "Indexed")
    assert spec["backoffLimit"] == 2147483647
    assert not {"suspend", "backoffLimitPerIndex", "ttlSecondsAfterFinished", "activeDeadlineSeconds"} & spec.keys()
    disruption, exit_codes = spec["podFailurePolicy"]["rules"]
    assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert exit_codes["action"] == "Ignore"
    assert exit_codes["onExitCodes"]["containerName"] == "evaluator"
    values = exit_codes["onExitCodes"]["values"]
    assert 143 in values
    assert 0 not in values
    assert values == sorted(set(values)), "the API wants them ordered, each once"
    assert spec["podReplacementPolicy"] == "Failed"
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] > 30 + 8, "the agent takes up to drainSeconds + 8"


def test_the_pod_contract() -> None:
    job = evaluator_job(search(slotsPerEvaluator=3), DEFAULTS)
    evaluator = container(job)
    assert evaluator["command"] == ["python", "-m", "xnas_evaluator.agent"]
    assert " ".join(evaluator["args"]) == (
        "--connect xnas.xnas.svc:8443 --id $(POD_NAME) --token-file /var/run/secrets/xnas/token "
        "--ca-file /etc/xnas/ca/ca.crt --search team-a/fashion --slots 3 --drain-seconds 30"
    )
    env = {item["name"]: item for item in evaluator["env"]}
    assert env["POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert {name: env[name]["value"] for name in ("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME")} == {
        "HOME": "/tmp", "MPLCONFIGDIR": "/tmp", "XDG_CACHE_HOME": "/cache",
    }  # fmt: skip
    pod = job["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    token = volumes["xnas-token"]["projected"]["sources"][0]["serviceAccountToken"]
    assert token == {"path": "token", "audience": "xnas", "expirationSeconds": 3600}
    assert volumes["xnas-ca"]["configMap"]["name"] == "fashion-ca"
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory"}
    mounts = {mount["mountPath"]: mount["name"] for mount in evaluator["volumeMounts"]}
    assert mounts == {
        "/var/run/secrets/xnas": "xnas-token", "/etc/xnas/ca": "xnas-ca", "/tmp": "tmp", "/cache": "cache",
        "/dev/shm": "shm",
    }  # fmt: skip
    assert pod["serviceAccountName"] == "fashion-evaluator"
    assert pod["automountServiceAccountToken"] is False


def test_the_pod_keeps_the_restricted_standard() -> None:
    job = evaluator_job(search(), DEFAULTS)
    pod, evaluator = job["spec"]["template"]["spec"], container(job)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert evaluator["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


def test_no_cpu_limit_and_small_requests_by_default() -> None:
    assert container(evaluator_job(search(), DEFAULTS))["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}}


def test_everything_is_labelled_and_owned() -> None:
    it = search(queueName="gpu-queue")
    job = evaluator_job(it, DEFAULTS)
    for document in (job, service_account(it), ca_config_map(it, TRUSTED)):
        labels, (owner,) = document["metadata"]["labels"], document["metadata"]["ownerReferences"]
        assert labels["app.kubernetes.io/name"] == "xnas-evaluator"
        assert labels["app.kubernetes.io/managed-by"] == "xnas-operator"
        assert (labels["xnas.dev/search"], labels["xnas.dev/search-uid"]) == ("fashion", UID)
        assert document["metadata"]["namespace"] == "team-a"
        assert (owner["kind"], owner["name"], owner["uid"]) == ("ArchitectureSearch", "fashion", UID)
        assert owner["controller"] is owner["blockOwnerDeletion"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu-queue"
    assert job["spec"]["template"]["metadata"]["labels"]["xnas.dev/search-uid"] == UID
    assert "kueue.x-k8s.io/queue-name" not in evaluator_job(search(), DEFAULTS)["metadata"]["labels"]
    assert service_account(it)["automountServiceAccountToken"] is False
    assert ca_config_map(it, TRUSTED)["data"] == {"ca.crt": "PEM"}


def test_a_store_s_private_authority_reaches_the_agent() -> None:
    it, private = search(), replace(TRUSTED, store_ca_pem="STORE")
    assert ca_config_map(it, private)["data"] == {"ca.crt": "PEM", "store.crt": "STORE"}
    (container,) = evaluator_job(it, private)["spec"]["template"]["spec"]["containers"]
    folder = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "xnas-ca")
    parsed = container["args"].index("--store-ca-file")
    assert container["args"][parsed + 1] == f"{folder}/store.crt"
    # Without one, the agent trusts what its image trusts.
    (container,) = evaluator_job(it, TRUSTED)["spec"]["template"]["spec"]["containers"]
    assert "--store-ca-file" not in container["args"]


def test_the_data_sets_volume_is_read_only_at_data() -> None:
    volume = {"persistentVolumeClaim": {"claimName": "images", "subPath": "mnist"}}
    job = evaluator_job(search(dataset={"name": "mnist", "volume": volume}), DEFAULTS)
    mount = next(m for m in container(job)["volumeMounts"] if m["mountPath"] == "/data")
    assert mount == {"name": "data", "mountPath": "/data", "readOnly": True, "subPath": "mnist"}
    volumes = {v["name"]: v for v in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"] == {"claimName": "images", "readOnly": True}
    assert {"name": "XNAS_DATA", "value": "/data"} in container(job)["env"]


def test_the_agent_hears_of_a_memory_limit() -> None:
    def args(memory: str, slots: int = 1) -> list[str]:
        template = {"spec": {"containers": [{"name": "evaluator", "resources": {"limits": {"memory": memory}}}]}}
        it = search(template=template, slotsPerEvaluator=slots)
        found: list[str] = container(evaluator_job(it, DEFAULTS))["args"]
        return found[found.index("--drain-seconds") + 2 :]

    assert args("4Gi") == ["--memory-limit-mb", str(4096 - 160)]
    assert args("4Gi", slots=2) == ["--memory-limit-mb", str((4096 - 160) // 2)]
    assert args("200Mi") == [], "the agent refuses so small a limit; the kernel keeps it"
    assert args("lots") == [], "the API server will say what is wrong with it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1Gi", 2**30), ("512M", 512_000_000), ("1e9", 10**9), (1024, 1024), ("1.5Ki", 1536), ("100m", 0), (True, None)],
)
def test_quantities(text: Any, expected: int | None) -> None:
    assert memory_bytes(text) == expected


def test_no_job_for_no_replicas_and_none_for_a_file() -> None:
    with pytest.raises(InvalidInputError, match="replicas is 0"):
        evaluator_job(search(replicas=0), DEFAULTS)
    loose = search().model_copy(update={"metadata": search().metadata.model_copy(update={"uid": None})})
    with pytest.raises(InvalidInputError, match="no namespace or uid"):
        service_account(loose)


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(name=NAMES, other=NAMES)
def test_names_are_labels_that_fit_and_differ(name: str, other: str) -> None:
    for suffix, longest in (("evaluators", 52), ("evaluator", 63), ("ca", 63)):
        made = object_name(name, suffix, longest)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", made)
        assert len(made) <= longest
        assert made.endswith(f"-{suffix}")
        assert (made == object_name(other, suffix, longest)) == (name == other)
    assert len(f"{job_name(name)}-9999-abcde") <= 63


def test_long_names_that_start_alike_differ() -> None:
    assert job_name("a" * 62 + "b") != job_name("a" * 62 + "c")
    assert job_name("short") == "short-evaluators"
    assert "--" not in job_name("a" * 30 + "-" * 10 + "b" * 20)


# --- what to do with the Job that is there ----------------------------------------------------------------------------

OWNER = Owner("team-a", "fashion", UID)


def current(replicas: int = 2, **changes: Any) -> dict[str, Any]:
    job = evaluator_job(search(replicas=replicas), DEFAULTS)
    job["metadata"].update(changes.pop("metadata", {}))
    job["spec"].update(changes.pop("spec", {}))
    return {**job, **changes}


def ended(kind: str) -> dict[str, Any]:
    conditions = [{"type": kind, "status": "True", "reason": "Reason", "message": "words"}]
    return current(status={"conditions": conditions})


FOREIGN = [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "x", "uid": "u2", "controller": True}]
EARLIER = [
    {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "name": "fashion",
        "uid": "u2",
        "controller": True,
    }
]


@pytest.mark.parametrize(
    ("job", "wanted", "action", "says"),
    [
        (None, 0, JobAction.NOTHING, "none"),
        (None, 2, JobAction.CREATE, "2 evaluators"),
        (current(2), 2, JobAction.NOTHING, "as before"),
        (current(1), 3, JobAction.SCALE, "in place of 1"),
        (current(2), 0, JobAction.DELETE, "no evaluators"),
        (current(2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), 2, JobAction.WAIT, "being deleted"),
        (current(2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), 0, JobAction.WAIT, "being deleted"),
        (ended("Complete"), 2, JobAction.REPLACE, "Reason: words"),
        (ended("Failed"), 2, JobAction.REPLACE, "ended while"),
        (ended("Failed"), 0, JobAction.DELETE, "no evaluators"),
        (ended("Suspended"), 2, JobAction.NOTHING, "as before"),
        (current(2, metadata={"ownerReferences": FOREIGN}), 2, JobAction.CONFLICT, "not ours"),
        (current(2, metadata={"ownerReferences": []}), 0, JobAction.CONFLICT, "not ours"),
        (current(2, metadata={"ownerReferences": EARLIER}), 2, JobAction.WAIT, "earlier search"),
    ],
)
def test_what_to_do_with_a_job(job: dict[str, Any] | None, wanted: int, action: JobAction, says: str) -> None:
    plan = plan_job(job, OWNER, wanted)
    assert plan.action is action
    assert says in plan.message
    assert (plan.patch is not None) == (action is JobAction.SCALE)


def test_scaling_changes_both_numbers_and_nothing_else() -> None:
    assert job_change(current(2), 2) is None
    assert job_change(current(2), 5) == {"spec": {"parallelism": 5, "completions": 5}}
    assert job_change(current(2, spec={"parallelism": 5}), 5) == {"spec": {"parallelism": 5, "completions": 5}}


def test_an_upgrade_leaves_a_running_job_alone() -> None:
    old = current(2)
    old["spec"]["template"]["spec"]["containers"][0]["image"] = "example.org/evaluator:0"
    old["spec"]["suspend"] = True
    assert plan_job(old, OWNER, 2).action is JobAction.NOTHING
