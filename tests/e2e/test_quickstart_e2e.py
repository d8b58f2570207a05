"""Scenario (a): the README's first search, on the cluster and on this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster_tools import ROOT, Cluster, store_of
from tests.e2e.installation import Installation
from tests.e2e.search_tools import decisions, engine_of, run_here, xnas_command
from xnas_core.search.viewing import view


@pytest.mark.timeout(420)
def test_the_quickstart_search_is_the_same_on_the_cluster_and_here(
    cluster: Cluster, xnas: Installation, namespace: str, tmp_path: Path
) -> None:
    document = yaml.safe_load((ROOT / "examples/quickstart.yaml").read_text())
    cluster.kubectl("apply", "-n", namespace, "-f", str(ROOT / "examples/quickstart.yaml"))
    status = cluster.wait_for_state(namespace, "quickstart", "Complete", 240)
    assert status["evaluations"]["finished"] == 48

    store = store_of(status)
    there = engine_of(store)
    artifacts = [artifact for member in view(there, "quickstart").candidates for artifact in member.artifacts]
    kept = [artifact for artifact in artifacts if store.exists(artifact.key)]
    front = [there.candidates[number].id for number in there.archive.keys]
    for member in front:
        names = {Path(a.key).name for a in kept if f"/{member}/" in a.key}
        assert {"checkpoint.safetensors", "integratedGradients.png", "gradCam.safetensors"} <= names
    for artifact in kept:
        data = store.get(artifact.key)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact.size, artifact.sha256), artifact.key

    here = engine_of(run_here(document, tmp_path))
    assert decisions(there) == decisions(here)

    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "reader", "-n", namespace, "--clusterrole=view",
                    f"--serviceaccount={namespace}:reader")  # fmt: skip
    with xnas.client(xnas.token(namespace, "reader"), tmp_path) as client:
        read = client.front(namespace, "quickstart")
        report = client.artifact(namespace, "quickstart", "report.html").decode()
        table = client.to_pandas(namespace, "quickstart")
    assert {member.id for member in read.members} == set(front)
    assert all(member in report for member in front)
    assert len(table) == 48
    assert not cluster.pods_of(namespace, "quickstart")

    account, place = f"{namespace}/reader", f"{namespace}/quickstart"
    told = json.loads(xnas_command("front", place, "--json", account=account))
    assert {member["id"] for member in told["front"]} == set(front)
    xnas_command("report", place, "--destination", str(tmp_path / "report.html"), account=account)
    assert (tmp_path / "report.html").read_text() == report
    pictures = tmp_path / "pictures"
    xnas_command("artifacts", place, "--front", "--match", "*.png", "--download", str(pictures), account=account)
    assert len(list(pictures.rglob("integratedGradients.png"))) == len(front)
    assert front[0] in xnas_command("candidate", str(status["artifactsUri"]), front[0])
