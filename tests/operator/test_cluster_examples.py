"""Each file in examples/cluster, applied: what the operator makes of it, up to its evaluators' Job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.plant import Plant
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.dispatch.grants import S3DataGrants
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.waiting import until
from xnas_operator.kube import KubeClient

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
STORE = S3Settings("http://store:9000", "artifacts", "key", "secret")


@pytest.fixture
async def plant(api: FakeApi, kube: KubeClient) -> AsyncIterator[Plant]:
    plant = Plant(api, kube)
    # Pods are made, but nothing starts in them: that is the evaluators' part.
    plant.kubelet.held = True
    async with plant.kubelet.running():
        yield plant


def document(name: str) -> Any:
    made = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    made["metadata"]["namespace"] = "team"
    return made


def mapped(namespace: str, uri: str) -> bool:
    return namespace == "team" and uri.startswith("s3://datasets/team-a/")


def job_of(plant: Plant, name: str) -> Any:
    return next((job for job in plant.api.items("jobs") if job["metadata"]["name"] == f"{name}-evaluators"), None)


def evaluator(job: Any) -> Any:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container


def volume(job: Any, name: str) -> Any:
    return next((v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == name), None)


def mount(job: Any, path: str) -> Any:
    return next((m for m in evaluator(job)["volumeMounts"] if m["mountPath"] == path), None)


def gpu_pool(job: Any) -> None:
    pod = job["spec"]["template"]["spec"]
    assert (job["spec"]["parallelism"], job["spec"]["completions"]) == (4, 4)
    assert pod["nodeSelector"] == {"gpu": "a100"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert evaluator(job)["resources"]["limits"] == {"nvidia.com/gpu": 1, "memory": "16Gi"}
    args = evaluator(job)["args"]
    # The worker is ended before the kernel ends the pod: 16 GiB less what the agent needs.
    assert args[args.index("--memory-limit-mb") + 1] == str(16 * 1024 - 160)
    assert volume(job, "data") == {"name": "data", "persistentVolumeClaim": {"claimName": "images", "readOnly": True}}


def volume_data(job: Any) -> None:
    assert volume(job, "data") == {"name": "data", "persistentVolumeClaim": {"claimName": "images", "readOnly": True}}
    assert mount(job, "/data") == {"name": "data", "mountPath": "/data", "readOnly": True}
    # The claim has taken the empty folder's place; it is mounted to be written.
    assert volume(job, "cache") == {"name": "cache", "persistentVolumeClaim": {"claimName": "decoded"}}
    assert mount(job, "/cache") == {"name": "cache", "mountPath": "/cache"}
    assert {"name": "XDG_CACHE_HOME", "value": "/cache"} in evaluator(job)["env"]


def s3_data(job: Any) -> None:
    written = yaml.safe_dump(job)
    assert "secret" not in written.replace("/var/run/secrets/xnas", "")
    assert "s3://" not in written, "evaluators learn the address from the operator, and hold no key"
    assert volume(job, "data") is None
    assert evaluator(job)["resources"]["requests"]["ephemeral-storage"] == "8Gi"


def kueue(job: Any) -> None:
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert evaluator(job)["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}


def tabular_volume(job: Any) -> None:
    claim = {"claimName": "tables", "readOnly": True}
    assert volume(job, "tables") == {"name": "tables", "persistentVolumeClaim": claim}
    assert mount(job, "/data") == {"name": "tables", "mountPath": "/data", "readOnly": True}
    args = evaluator(job)["args"]
    assert args[args.index("--slots") + 1] == "4"


def suspended(job: Any) -> None:
    assert (job["spec"]["parallelism"], job["spec"]["completions"]) == (2, 2)
    assert not job["spec"]["suspend"], "that field is Kueue's, not the search's"


CHECKS: dict[str, Callable[[Any], None]] = {
    "gpu-pool": gpu_pool,
    "volume-data": volume_data,
    "s3-data": s3_data,
    "kueue": kueue,
    "tabular-volume": tabular_volume,
    "suspended": suspended,
}


def test_each_example_is_checked() -> None:
    assert sorted(CHECKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
async def test_applied_it_gets_its_evaluators(plant: Plant, name: str) -> None:
    grants = {"may_read": mapped, "data_grants": lambda space: S3DataGrants(STORE, partial(mapped, space))}
    async with plant.operator(**grants):
        plant.api.create(document(name))
        if name == "suspended":
            await plant.state("Suspended", name)
            assert job_of(plant, name) is None
            plant.api.patch("architecturesearches", "team", name, {"spec": {"suspend": False}})
        await until(lambda: job_of(plant, name) is not None)
        # Only an evaluator can say what the data are; nothing else is missing.
        await until(lambda: plant.condition("Accepted", name).get("reason") == "AwaitingEvaluators")
        await until(lambda: len(plant.api.items("pods")) == job_of(plant, name)["spec"]["parallelism"])
        CHECKS[name](job_of(plant, name))


@pytest.mark.parametrize(
    ("name", "part", "path"),
    [
        ("tabular-volume", ("benchmark", "table"), "/data/nas-bench-201-cifar10.csv.gz"),
        ("volume-data", ("dataset", "source", "imageFolder"), "/data/birds"),
    ],
)
async def test_relative_paths_start_at_the_mounted_folder(
    plant: Plant, name: str, part: tuple[str, ...], path: str
) -> None:
    async with plant.operator():
        plant.api.create(document(name))
        await until(lambda: job_of(plant, name) is not None)
        session = plant.controller(name).session
        assert session is not None
        assert session.desk is not None
        here: Any = session.desk.service._pool.config.spec
        for word in part:
            here = here[word]
        assert here == path


async def test_kueue_s_decision_stands(plant: Plant) -> None:
    async with plant.operator():
        plant.api.create(document("kueue"))
        await until(lambda: job_of(plant, "kueue") is not None)
        plant.api.patch("jobs", "team", "kueue-evaluators", {"spec": {"suspend": True}})
        await until(lambda: plant.condition("EvaluatorsReady", "kueue").get("reason") == "Queued")
        plant.api.patch("architecturesearches", "team", "kueue", {"spec": {"evaluators": {"replicas": 3}}})
        await until(lambda: job_of(plant, "kueue")["spec"]["parallelism"] == 3)
        assert job_of(plant, "kueue")["spec"]["suspend"] is True
