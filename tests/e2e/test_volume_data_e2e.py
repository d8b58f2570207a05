"""Images on a volume, by the example's manifest: read by evaluator pods, decoded once into a claim that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.cluster_tools import ROOT, Cluster, Document, until
from tests.e2e.installation import EVALUATOR_IMAGE

CLAIMS = {"images": "/images", "decoded": "/decoded"}
"""Claims of the example, and where the pod that prepares them sees them."""
WRITE_IMAGES = """
import pathlib, PIL.Image, sklearn.datasets
digits = sklearn.datasets.load_digits()
for number, (image, label) in enumerate(zip(digits.images, digits.target)):
    folder = pathlib.Path("/images/birds", "test" if number % 5 == 0 else "train", f"kind-{label}")
    folder.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number}.png")
pathlib.Path("/decoded").chmod(0o777)
"""
LIST_DECODED = """
import pathlib
for path in sorted(pathlib.Path("/decoded").rglob("*.safetensors")):
    status = path.stat()
    print(path.name, status.st_ino, status.st_mtime_ns)
"""
ADD_AN_IMAGE = """
import pathlib, shutil
first = min(pathlib.Path("/images/birds/train/kind-0").iterdir())
shutil.copy(first, first.with_name("added.png"))
"""
TAKE_IT_AWAY = 'import pathlib; pathlib.Path("/images/birds/train/kind-0/added.png").unlink()'
REMOVE_ALL = """
import pathlib, shutil
for folder in ("/images", "/decoded"):
    for path in pathlib.Path(folder).iterdir():
        shutil.rmtree(path)
"""


def on_a_node(claim: str, namespace: str, node: str) -> list[Document]:
    """Return a claim, and a volume for it which is a folder of a node: all pods that use it are put there."""
    volume = f"{namespace}-{claim}"
    wanted = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **wanted,
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": namespace, "name": claim},
                "hostPath": {"path": f"/var/lib/xnas-e2e/{namespace}/{claim}", "type": "DirectoryOrCreate"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": namespace},
            "spec": {**wanted, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]


def desk(namespace: str) -> Document:
    """Return a pod with both claims, in which their owner works."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "desk", "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "desk",
                    "image": EVALUATOR_IMAGE,
                    "command": ["sleep", "600"],
                    "securityContext": {"runAsUser": 0},
                    "volumeMounts": [{"name": name, "mountPath": path} for name, path in CLAIMS.items()],
                }
            ],
            "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in CLAIMS],
        },
    }


@pytest.fixture
def claims(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The example's claims, images in one of them; the namespace that they are in."""
    nodes = cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.labels.kubernetes\\.io/hostname}")
    documents = [document for claim in CLAIMS for document in on_a_node(claim, namespace, nodes.split()[-1])]
    cluster.apply(*documents, desk(namespace))
    cluster.kubectl("wait", "-n", namespace, "pod/desk", "--for=condition=Ready", "--timeout=60s", seconds=70)
    at_the_desk(cluster, namespace, WRITE_IMAGES)
    yield namespace
    at_the_desk(cluster, namespace, REMOVE_ALL)
    for claim in CLAIMS:
        cluster.kubectl("delete", "pv", f"{namespace}-{claim}", "--wait=false")


def at_the_desk(cluster: Cluster, namespace: str, program: str) -> str:
    """Run a Python program where both claims are mounted; return what it printed."""
    return cluster.kubectl("exec", "-n", namespace, "desk", "--", "python", "-c", program)


def small_example(name: str, namespace: str) -> Document:
    """Return the example, with less to train and claims, images and template as they are."""
    document: Document = yaml.safe_load((ROOT / "examples/cluster/volume-data.yaml").read_text())
    spec = document["spec"]
    spec["searchSpace"]["parameters"] = {"cellsPerStage": 1, "channels": 8}
    spec["training"].update(epochs=2, threads=1)
    spec["algorithm"]["populationSize"] = 4
    spec["limits"]["maxEvaluations"] = 6
    spec["evaluators"]["replicas"] = 2
    spec["explanations"] = {"scope": "none"}
    document["metadata"] = {"name": name, "namespace": namespace}
    return document


@pytest.mark.timeout(300)
def test_images_on_a_claim_are_decoded_once_for_all_pods_and_searches(cluster: Cluster, claims: str) -> None:
    assert at_the_desk(cluster, claims, LIST_DECODED) == ""
    decoded = []
    for name in ("first", "second"):
        cluster.apply(small_example(name, claims))
        status = cluster.wait_for_state(claims, name, "Complete", 120)
        assert status["evaluations"]["finished"] == 6
        assert status["evaluations"]["failed"] == 0
        best = max(member["values"]["accuracy"] for member in status["front"])
        assert best > 0.5, "ten kinds of digits, so chance is 0.1: the images are those of their folders"
        decoded.append(at_the_desk(cluster, claims, LIST_DECODED))
    assert len(decoded[0].splitlines()) == 1
    assert decoded[0] == decoded[1], "the second search decoded the images again"


@pytest.mark.timeout(300)
def test_images_that_changed_score_nothing_until_they_are_as_they_were(cluster: Cluster, claims: str) -> None:
    document = small_example("changed", claims)
    document["spec"]["limits"]["maxEvaluations"] = 60
    document["spec"]["evaluators"]["replicas"] = 1
    cluster.apply(document)
    cluster.wait_for_evaluations(claims, "changed", 4, 90)
    at_the_desk(cluster, claims, ADD_AN_IMAGE)
    (pod,) = cluster.pods_of(claims, "changed")
    # Replaced by one that reads the images anew.
    cluster.delete("pod", claims, pod["metadata"]["name"], "--grace-period=1")

    def said() -> bool:
        conditions = {one["type"]: one for one in cluster.status(claims, "changed")["conditions"]}
        ready = conditions["EvaluatorsReady"]
        return ready["reason"] == "EvaluatorsFailing" and "is not the one that this search was st" in ready["message"]

    until(said, 90, "the status says that the data changed")
    at_the_desk(cluster, claims, TAKE_IT_AWAY)
    status = cluster.wait_for_state(claims, "changed", "Complete", 180)
    assert (status["evaluations"]["finished"], status["evaluations"]["failed"]) == (60, 0)
