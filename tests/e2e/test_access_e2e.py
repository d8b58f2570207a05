"""Scenarios (g), (h) and (k): what is refused, to whom, and with which sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster_tools import Cluster, CommandFailedError, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import search, tabular
from xnas_core.api.validate import check_document
from xnas_core.client import SearchClient
from xnas_core.service.errors import ForbiddenError
from xnas_core.tasks import TaskKind

GOOD: dict[str, Any] = {
    "searchSpace": {"name": "nas-bench-201"},
    "dataset": {"name": "digits"},
    "objectives": [{"name": "accuracy", "direction": "maximize"}],
    "limits": {"maxEvaluations": 8},
}

# What is changed in GOOD, and whether a CEL rule says so (whose sentence `xnas validate` prints too) or the schema.
BAD: list[tuple[str, dict[str, Any], bool]] = [
    ("both data and source", {"dataset": {"name": "digits", "source": {"npz": "/data/x.npz"}}}, True),
    ("neither", {"dataset": {}}, True),
    ("two sources", {"dataset": {"source": {"npz": "/data/x.npz", "idx": "/data"}}}, True),
    ("constraint without bounds", {"constraints": [{"metric": "parameters"}]}, True),
    ("bounds crossed", {"constraints": [{"metric": "parameters", "min": 2, "max": 1}]}, True),
    ("nesterov without momentum", {"training": {"optimizer": {"momentum": 0, "nesterov": True}}}, True),
    ("warm-up longer than training", {"training": {"epochs": 1, "schedule": {"warmupEpochs": 2}}}, True),
    (
        "sample larger than population",
        {"algorithm": {"name": "regularizedEvolution", "populationSize": 4, "sampleSize": 5}},
        True,
    ),
    ("benchmark beside data", {"benchmark": {"table": "/t.csv"}}, True),
    ("a method twice", {"explanations": {"methods": ["saliency", "saliency"]}}, True),
    ("an objective twice", {"objectives": [{"name": "a", "metric": "loss", "direction": "minimize"}] * 2}, True),
    ("no limit at all", {"limits": {}}, True),
    ("no evaluation", {"limits": {"maxEvaluations": 0}}, False),
    ("population of one", {"algorithm": {"populationSize": 1}}, False),
    ("unknown algorithm", {"algorithm": {"name": "annealing"}}, False),
    ("negative seed", {"seed": -1}, False),
    ("no objective", {"objectives": []}, False),
    ("no direction", {"objectives": [{"name": "accuracy"}]}, False),
    ("wrong direction", {"objectives": [{"name": "accuracy", "direction": "up"}]}, False),
    ("text for a number", {"training": {"epochs": "many"}}, False),
    ("no search space", {"searchSpace": None}, False),
    ("too many slots", {"evaluators": {"slotsPerEvaluator": 65}}, False),
    ("fraction over one", {"dataset": {"name": "digits", "validationFraction": 1.5}}, False),
]


@pytest.mark.timeout(180)
def test_bad_manifests_are_refused_by_the_api_server(cluster: Cluster, xnas: Installation, namespace: str) -> None:
    del xnas
    assert "created" in cluster.kubectl(
        "create", "--dry-run=server", "-f", "-", given=yaml.safe_dump(search("good", namespace, GOOD))
    )
    assert len(BAD) >= 20
    for title, change, by_rule in BAD:
        document = search("bad", namespace, {**GOOD, **change})
        with pytest.raises(CommandFailedError) as refused:
            cluster.kubectl("create", "--dry-run=server", "-f", "-", given=yaml.safe_dump(document))
        _, problems = check_document(document, Path("/data"), here=False)
        assert problems, title
        if by_rule:
            assert any(problem.message in str(refused.value) for problem in problems), (title, str(refused.value))
    misspelt = search("bad", namespace, {**GOOD, "seeed": 1})
    with pytest.raises(CommandFailedError, match="unknown field"):
        cluster.kubectl("create", "--validate=strict", "-f", "-", given=yaml.safe_dump(misspelt))


CALLS: dict[str, Callable[[SearchClient, str], object]] = {
    "create": lambda c, ns: c.create(search("new", ns, GOOD), ns),
    "get": lambda c, ns: c.get(ns, "theirs"),
    "list": lambda c, ns: list(c.list(ns)),
    "update": lambda c, ns: c.update(ns, "theirs", {"suspend": True}),
    "suspend": lambda c, ns: c.suspend(ns, "theirs"),
    "resume": lambda c, ns: c.resume(ns, "theirs"),
    "scale": lambda c, ns: c.scale(ns, "theirs", 2),
    "delete": lambda c, ns: c.delete(ns, "theirs"),
    "watch": lambda c, ns: next(iter(c.watch(ns, "theirs"))),
    "candidates": lambda c, ns: list(c.candidates(ns, "theirs")),
    "candidate": lambda c, ns: c.candidate(ns, "theirs", "c000000000000"),
    "front": lambda c, ns: c.front(ns, "theirs"),
    "summary": lambda c, ns: c.summary(ns, "theirs"),
    "lineage": lambda c, ns: c.lineage(ns, "theirs", "c000000000000"),
    "view": lambda c, ns: c.view(ns, "theirs"),
    "to_pandas": lambda c, ns: c.to_pandas(ns, "theirs"),
    "artifact": lambda c, ns: c.artifact(ns, "theirs", "search.json"),
    "request_task": lambda c, ns: c.request_task(ns, "theirs", "c000000000000", TaskKind.EXPLAIN),
}


def test_every_method_of_the_client_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(SearchClient, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"close", "search", "save_artifact"} <= set(CALLS)


@pytest.mark.timeout(180)
def test_strangers_and_evaluators_of_others_are_refused(
    cluster: Cluster, xnas: Installation, namespace: str, other_namespace: str, tmp_path: Path
) -> None:
    cluster.apply(search("theirs", namespace, tabular(15_000)), search("ours", other_namespace, tabular(15_000)))
    cluster.wait_for_evaluations(namespace, "theirs", 1, 90)
    cluster.kubectl("create", "serviceaccount", "stranger", "-n", other_namespace)
    pod = until(lambda: cluster.pods_of(other_namespace, "ours"), 60, "the other search has an evaluator")[0]
    name = pod["metadata"]["name"]
    until(lambda: cluster.status(other_namespace, "ours")["evaluators"]["ready"], 60, "it is connected")
    evaluators = cluster.kubectl("exec", "-n", other_namespace, name, "--", "cat", "/var/run/secrets/xnas/token")
    for token in (xnas.token(other_namespace, "stranger"), evaluators.strip()):
        with xnas.client(token, tmp_path) as client:
            for call in CALLS.values():
                with pytest.raises(ForbiddenError):
                    call(client, namespace)
    # An evaluator's token serves the search of its own pod, and no other.
    agent = (
        "python", "-m", "xnas_evaluator.agent", "--connect", _address(pod), "--ca-file", "/etc/xnas/ca/ca.crt",
        "--token-file", "/var/run/secrets/xnas/token", "--id", name, "--search", f"{namespace}/theirs", "--slots", "1",
    )  # fmt: skip
    with pytest.raises(CommandFailedError, match="may not serve"):
        cluster.kubectl("exec", "-n", other_namespace, name, "--", *agent)


def _address(pod: dict[str, Any]) -> str:
    arguments = pod["spec"]["containers"][0]["args"]
    return str(arguments[arguments.index("--connect") + 1])


@pytest.mark.timeout(180)
def test_who_may_not_create_jobs_may_not_create_searches(
    cluster: Cluster, xnas: Installation, namespace: str, tmp_path: Path
) -> None:
    cluster.kubectl("create", "role", "author", "-n", namespace, "--verb=create,get,list,patch",
                    "--resource=architecturesearches.xnas.dev")  # fmt: skip
    cluster.kubectl("create", "serviceaccount", "author", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "author", "-n", namespace, "--role=author",
                    f"--serviceaccount={namespace}:author")  # fmt: skip
    user = f"system:serviceaccount:{namespace}:author"
    with pytest.raises(CommandFailedError, match=r"a search creates Jobs.*may not create Jobs in namespace"):
        cluster.apply(search("mine", namespace, GOOD), user=user)
    with (
        xnas.client(xnas.token(namespace, "author"), tmp_path) as client,
        pytest.raises(ForbiddenError, match="may not create Jobs"),
    ):
        client.create(search("mine", namespace, GOOD), namespace)


@pytest.mark.timeout(120)
def test_a_tenant_who_names_the_prefix_of_another_is_refused(
    cluster: Cluster, xnas: Installation, namespace: str
) -> None:
    del xnas
    source = {"source": {"npz": "s3://xnas/searches/team/one/x.npz"}}
    cluster.apply(search("curious", namespace, {**GOOD, "dataset": source}))
    status = cluster.wait_for_state(namespace, "curious", "Failed", 60)
    accepted = next(condition for condition in status["conditions"] if condition["type"] == "Accepted")
    assert accepted["status"] == "False"
    assert f"searches of namespace {namespace} may not read s3://xnas/" in accepted["message"]
    assert not cluster.items("jobs", namespace)
