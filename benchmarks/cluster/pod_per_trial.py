"""The usual way for comparison: a Job for each trial, in the evaluator's image, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cluster import observing
from benchmarks.cluster.observing import Watch
from tests.e2e.cluster_tools import Cluster, Document
from xnas_core.search.engine import Engine
from xnas_core.search.ledger import TaskRef
from xnas_core.tasks import Assignment, TaskKind

_TRIAL = Path(__file__).parent / "trial.py"
_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Trial:
    """One pod's trial, in seconds.

    Attributes:
        wall: from asking for the Job until it is complete.
        own: what the evaluation itself took, storing on the pod's disk included.
        metrics: what it measured.
    """

    wall: float
    own: float
    metrics: Mapping[str, float]

    @property
    def overhead(self) -> float:
        """What the pod cost on top."""
        return self.wall - self.own


def assignments(engine: Engine, count: int) -> Sequence[Assignment]:
    """Return the evaluations of a search's first candidates, as evaluators got them."""
    refs = [TaskRef(TaskKind.EVALUATE, candidate.id) for candidate in engine.candidates[:count]]
    return [engine.assignment(ref) for ref in refs]


def run(
    cluster: Cluster, place: str, pod: Document, spec: Mapping[str, Any], tasks: Sequence[Assignment]
) -> list[Trial]:
    """Run the trials one after the other.

    Args:
        place: the namespace.
        pod: of an evaluator of the same search: image, environment, resources and volumes are taken from it.
        spec: the accepted spec.
        tasks: what is evaluated.
    """
    trials = []
    with observing.watch(f"/apis/batch/v1/namespaces/{place}/jobs") as jobs:
        for number, task in enumerate(tasks):
            name = f"trial-{task.candidate_id}-{number}"
            files = {"trial.py": _TRIAL.read_text(), "trial.json": _json(spec, task)}
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": place}}
            cluster.kubectl("create", "-f", "-", given=yaml.safe_dump({**config, "data": files}))
            trials.append(_one(cluster, place, jobs, job(name, place, pod)))
    return trials


def _json(spec: Mapping[str, Any], task: Assignment) -> str:
    return json.dumps({"spec": dict(spec), "assignment": json.loads(task.model_dump_json())})


def _one(cluster: Cluster, place: str, jobs: Watch, document: Document) -> Trial:
    name = document["metadata"]["name"]
    asked = time.time()
    cluster.kubectl("create", "-f", "-", given=yaml.safe_dump(document))

    def over(found: Document) -> bool:
        return found["metadata"]["name"] == name and (observing.complete(found) or observing.failed(found))

    ended = jobs.first(over, _WAIT_SECONDS, f"{name} has ended")
    said = cluster.kubectl("logs", "-n", place, f"job/{name}")
    if observing.failed(ended.body):
        raise AssertionError(f"{name} failed: {said[-500:]}")
    result = json.loads(said.splitlines()[-1])
    cluster.delete("job", place, name)
    return Trial(ended.time - asked, float(result["seconds"]), result["metrics"])


def job(name: str, place: str, pod: Document) -> Document:
    """Return a Job that evaluates the ConfigMap of its name, in a pod as an evaluator's, with one container."""
    like = pod["spec"]
    container = like["containers"][0]
    own = [volume for volume in like["volumes"] if volume["name"] not in ("xnas-token", "xnas-ca")]
    names = {volume["name"] for volume in own}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": place},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": like["securityContext"],
                    "containers": [
                        {
                            "name": "trial",
                            "command": ["python", "/trial/trial.py"],
                            **{key: container[key] for key in ("image", "imagePullPolicy", "resources", "env")},
                            "securityContext": container["securityContext"],
                            "volumeMounts": [
                                *(mount for mount in container["volumeMounts"] if mount["name"] in names),
                                {"name": "trial", "mountPath": "/trial"},
                            ],
                        }
                    ],
                    "volumes": [*own, {"name": "trial", "configMap": {"name": name}}],
                }
            },
        },
    }
