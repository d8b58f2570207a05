"""The command line from outside the cluster, and the examples on a real API server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster_tools import ROOT, Cluster, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import search, tabular, xnas_command


@pytest.mark.timeout(240)
def test_a_search_from_submit_to_delete(cluster: Cluster, xnas: Installation, namespace: str, tmp_path: Path) -> None:
    del xnas
    cluster.kubectl("create", "serviceaccount", "ann", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "ann", "-n", namespace, "--clusterrole=edit",
                    f"--serviceaccount={namespace}:ann")  # fmt: skip
    file, place, account = tmp_path / "search.yaml", f"{namespace}/line", f"{namespace}/ann"
    document = search("line", namespace, tabular(15_000, slots=1))
    file.write_text(yaml.safe_dump(document))
    xnas_command("submit", str(file))
    cluster.wait_for_evaluations(namespace, "line", 20, 90)
    listed = json.loads(xnas_command("list", "-n", namespace, "--json"))
    assert [item["name"] for item in listed["searches"]] == ["line"]
    assert json.loads(xnas_command("front", place, "--json", account=account))["front"]
    assert "connected" in xnas_command("logs", place, "--tail", "50")

    xnas_command("scale", place, "2")
    until(lambda: cluster.status(namespace, "line")["evaluators"]["ready"] == 2, 60, "two evaluators are ready")
    xnas_command("suspend", place)
    cluster.wait_for_state(namespace, "line", "Suspended", 60)
    done = cluster.status(namespace, "line")["evaluations"]["finished"]
    change = json.dumps({"spec": {"limits": {"maxEvaluations": done + 100}}})
    cluster.kubectl("patch", "nas", "line", "-n", namespace, "--type=merge", "-p", change)
    xnas_command("resume", place)
    told = xnas_command("watch", place, "--json", account=account, seconds=120)
    assert json.loads(told.splitlines()[-1])["state"] == "Complete"
    assert cluster.status(namespace, "line")["evaluations"]["finished"] == done + 100
    xnas_command("delete", place, "--yes")
    until(lambda: not cluster.items("architecturesearches", namespace), 30, "the search is gone")


@pytest.mark.timeout(120)
def test_the_api_server_takes_every_example(cluster: Cluster, xnas: Installation, namespace: str) -> None:
    del xnas
    examples = sorted((ROOT / "examples").rglob("*.yaml"))
    assert len(examples) >= 10
    for example in examples:
        documents = [document for document in yaml.safe_load_all(example.read_text()) if document]
        searches = [document for document in documents if document["kind"] == "ArchitectureSearch"]
        # What an example brings beside its search (a claim, a queue of another product) need not be known here.
        assert searches, example
        text = yaml.safe_dump_all(searches)
        # A table beside the file is for one machine alone: the API server says so.
        if example.name == "tabular.yaml":
            continue
        assert "created" in cluster.kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", given=text)
