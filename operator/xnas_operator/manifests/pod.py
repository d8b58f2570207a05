"""Our part of an evaluator pod: what is there before any template is merged over it (docs/evaluators.md)."""

from __future__ import annotations

from typing import Any

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.names import CONTAINER, Owner, ca_name, labels, service_account_name

TOKEN_FOLDER = "/var/run/secrets/xnas"
CA_FOLDER = "/etc/xnas/ca"
CA_KEY = "ca.crt"
STORE_CA_KEY = "store.crt"
DATA_FOLDER = "/data"
TOKEN_VOLUME = "xnas-token"
CA_VOLUME = "xnas-ca"
DATA_VOLUME = "data"
AUDIENCE = "xnas"
TOKEN_SECONDS = 3600
"""The kubelet renews a projected token when four fifths of this have passed; the agent reads the file anew."""
USER = 65532
MARGIN_SECONDS = 15
"""Added to drainSeconds: handing back and its acknowledgement take at most 8 s, ending the workers a few more."""

REQUESTS = {"cpu": "500m", "memory": "1Gi"}
"""Small, so that a pool starts on any cluster: agent and worker take 0.6 GiB before the first network (measured), and
an evaluator takes whatever CPU is idle. There is no limit by default: a CPU limit slows training down on an idle node,
and a memory limit that fits every search cannot be known. Who wants equal shares, or the same number of threads on
each node, sets limits."""


def base_template(owner: Owner, spec: ArchitectureSearchSpec, defaults: EvaluatorDefaults) -> dict[str, Any]:
    """Return the pod template of a search's evaluators without the templates of settings and search.

    Keeps the restricted Pod Security Standard: non-root, read-only root, no capabilities, seccomp.
    """
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": defaults.drain_seconds + MARGIN_SECONDS,
        "serviceAccountName": service_account_name(owner.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # A claim with many files would be walked through at each start otherwise.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(owner, spec, defaults)],
        "volumes": _volumes(owner, spec),
    }
    if defaults.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in defaults.image_pull_secrets]
    return {
        "metadata": {"labels": labels(owner), "annotations": {"kubectl.kubernetes.io/default-container": CONTAINER}},
        "spec": pod,
    }


def _container(owner: Owner, spec: ArchitectureSearchSpec, defaults: EvaluatorDefaults) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": defaults.image,
        "imagePullPolicy": defaults.image_pull_policy,
        "command": ["python", "-m", "xnas_evaluator.agent"],
        "args": [
            "--connect", defaults.address,
            "--id", "$(POD_NAME)",
            "--token-file", f"{TOKEN_FOLDER}/token",
            "--ca-file", f"{CA_FOLDER}/{CA_KEY}",
            *(("--store-ca-file", f"{CA_FOLDER}/{STORE_CA_KEY}") if defaults.store_ca_pem else ()),
            "--search", f"{owner.namespace}/{owner.name}",
            "--slots", str(spec.evaluators.slots_per_evaluator),
            "--drain-seconds", str(defaults.drain_seconds),
        ],
        "env": _environment(spec),
        "resources": {"requests": dict(REQUESTS)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # What it said last becomes part of the pod's status, and so of the evidence (protocol.md §7).
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(spec),
    }  # fmt: skip


def _environment(spec: ArchitectureSearchSpec) -> list[dict[str, Any]]:
    """Return the environment. Data from s3:// needs nothing here: evaluators ask for grants, they hold no keys."""
    env: list[dict[str, Any]] = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "HOME", "value": "/tmp"},
        {"name": "MPLCONFIGDIR", "value": "/tmp"},
        {"name": "XDG_CACHE_HOME", "value": "/cache"},
    ]
    if _claim(spec) is not None:
        # Where a data set known by name looks for its files, unless spec.dataset.path says otherwise.
        env.append({"name": "XNAS_DATA", "value": DATA_FOLDER})
    return env


def _claim(spec: ArchitectureSearchSpec) -> tuple[str, str | None] | None:
    """Return claim name and folder of the data set's volume."""
    if spec.dataset is None or spec.dataset.volume is None:
        return None
    claim = spec.dataset.volume.persistent_volume_claim
    return claim.claim_name, claim.sub_path


def _volumes(owner: Owner, spec: ArchitectureSearchSpec) -> list[dict[str, Any]]:
    token = {"serviceAccountToken": {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}}
    volumes: list[dict[str, Any]] = [
        {"name": TOKEN_VOLUME, "projected": {"sources": [token]}},
        {"name": CA_VOLUME, "configMap": {"name": ca_name(owner.name)}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "cache", "emptyDir": {}},
        # Memory, because processes share tensors there; a container's own /dev/shm has 64 MiB.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    claim = _claim(spec)
    if claim is not None:
        volumes.append({"name": DATA_VOLUME, "persistentVolumeClaim": {"claimName": claim[0], "readOnly": True}})
    return volumes


def _mounts(spec: ArchitectureSearchSpec) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True},
        {"name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "cache", "mountPath": "/cache"},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    claim = _claim(spec)
    if claim is not None:
        data: dict[str, Any] = {"name": DATA_VOLUME, "mountPath": DATA_FOLDER, "readOnly": True}
        mounts.append({**data, "subPath": claim[1]} if claim[1] is not None else data)
    return mounts
