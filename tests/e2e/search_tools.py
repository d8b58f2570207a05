"""Searches for the tests, and what two runs of one search must have in common."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster_tools import ROOT, Document, command
from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.store import ObjectStore
from xnas_core.objectives import METRICS
from xnas_core.search.engine import Engine
from xnas_core.search.recovery import recover
from xnas_core.tasks import TaskKind

TABLE_FOLDER = "/tables"
TABLE_NAME = "cifar10.csv.gz"


def table() -> Path:
    """Return the benchmark table: NAS-Bench-201 on CIFAR-10."""
    shared = os.environ.get("XNAS_SHARED_DATA")
    return (Path(shared) if shared else ROOT.parent / "shared/data") / "nas-bench-201" / TABLE_NAME


def table_config_map() -> Document:
    """Return a ConfigMap that holds the table, which a volume can carry into evaluators."""
    content = base64.b64encode(table().read_bytes()).decode()
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "table"}, "binaryData": {TABLE_NAME: content}}


def search(name: str, namespace: str, spec: Mapping[str, Any]) -> Document:
    """Return a resource."""
    return {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }


def tabular(evaluations: int, *, seed: int = 1, slots: int = 4, folder: str = TABLE_FOLDER, **spec: Any) -> Document:
    """Return the spec of a search on the table; keywords replace fields."""
    volume = {"name": "tables", "configMap": {"name": "table"}}
    container = {"name": "evaluator", "volumeMounts": [{"name": "tables", "mountPath": TABLE_FOLDER}]}
    return {
        "seed": seed,
        "searchSpace": {"name": "nas-bench-201"},
        "benchmark": {"table": f"{folder}/{TABLE_NAME}"},
        "objectives": [
            {"name": "accuracy", "metric": "c10_test_200", "direction": "maximize"},
            {"name": "mflops", "metric": "c10_mflops", "direction": "minimize"},
        ],
        "algorithm": {"populationSize": 50},
        "limits": {"maxEvaluations": evaluations},
        "evaluators": {
            "replicas": 1,
            "slotsPerEvaluator": slots,
            "template": {"spec": {"containers": [container], "volumes": [volume]}},
        },
        **spec,
    }


def run_here(document: Mapping[str, Any], folder: Path) -> FolderStore:
    """Run the search on this machine with `xnas run`, and return its output folder."""
    file = folder / "search.yaml"
    file.write_text(yaml.safe_dump(dict(document)))
    command = [sys.executable, "-m", "xnas_core.cli", "run", str(file), "--output", str(folder / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return FolderStore(folder / "out")


def training(evaluations: int, *, seed: int, epochs: int, population: int, **evaluators: int) -> Document:
    """Return the spec of a search that trains small networks on digits, a core each; keywords are of its evaluators."""
    return {
        "seed": seed,
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 8}},
        "dataset": {"name": "digits", "validationFraction": 0.2},
        "training": {"epochs": epochs, "batchSize": 64, "threads": 1},
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "introspectability", "direction": "maximize"},
        ],
        "algorithm": {"populationSize": population},
        "limits": {"maxEvaluations": evaluations},
        "evaluators": evaluators,
        "explanations": {"scope": "none"},
    }


def xnas_command(*arguments: str, account: str = "", seconds: float = 120) -> str:
    """Run the command line on the cluster of KUBECONFIG; return what it printed.

    Args:
        arguments: of `xnas`.
        account: NAMESPACE/NAME of the service account to speak to the operator as.
        seconds: deadline.
    """
    speaking = {"XNAS_SERVICE_ACCOUNT": account} if account else {}
    return command(sys.executable, "-m", "xnas_core.cli", *arguments, seconds=seconds, environment=speaking)


def engine_of(store: ObjectStore) -> Engine:
    """Return the search as its journal leaves it."""
    engine, _ = recover(store, snapshots=False)
    assert engine is not None
    return engine


def decisions(engine: Engine) -> list[tuple[Any, ...]]:
    """Return all that the promise (protocol.md §1) speaks of: candidates, values, front; nothing that measures time."""
    timed = {name for name, metric in METRICS.items() if metric.measures_time}
    return [
        (
            candidate.id,
            candidate.genes,
            candidate.parents,
            candidate.operators,
            candidate.generation,
            candidate.state,
            {name: value for name, value in candidate.metrics.items() if name not in timed},
            candidate.number in engine.archive.keys,
        )
        for candidate in engine.candidates
    ]


def outcomes(engine: Engine) -> dict[str, int]:
    """Return how often each thing ended an attempt at an evaluation."""
    counts: dict[str, int] = {}
    for task in engine.ledger.tasks.values():
        for attempt in task.attempts if task.ref.kind is TaskKind.EVALUATE else ():
            counts[attempt.outcome] = counts.get(attempt.outcome, 0) + 1
    return counts
