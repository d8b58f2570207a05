"""The command line against a fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from xnas_core.cli.cluster.kube import Patience
from xnas_core.testing.command_line import Told, xnas
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.search_site import manifest

Xnas = Callable[..., Awaitable[Told]]


@pytest.fixture(autouse=True)
def _no_cluster_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches the cluster of whoever runs it."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    for name in (
        "KUBERNETES_SERVICE_HOST", "XNAS_TOKEN", "XNAS_ADDRESS", "XNAS_CA_FILE", "XNAS_SERVICE_ACCOUNT",
        "XNAS_OPERATOR_NAMESPACE",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("xnas_core.cli.cluster.connecting.PATIENCE", Patience(5, 5, pause_seconds=0.01))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(namespaces=["default", "team-a", "team-b", "xnas"]) as server:
        yield server


@pytest.fixture
def run(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xnas:
    """Runs a command with a kubeconfig that leads to the fake API server, its context's namespace team-a."""
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", namespace="team-a")))

    async def run_(*arguments: Any, **settings: Any) -> Told:
        return await asyncio.to_thread(xnas, *arguments, **settings)

    return run_


def resource(name: str = "digits", namespace: str = "team-a", **spec: Any) -> dict[str, Any]:
    """A search as the API server has it after a while."""
    made = manifest(name, **spec)
    made["metadata"]["namespace"] = namespace
    made["status"] = {
        "state": "Running",
        "conditions": [{"type": "Progressing", "status": "True", "reason": "Evaluating", "message": "evaluations run"}],
        "evaluations": {"proposed": 9, "running": 2, "succeeded": 6, "failed": 1},
        "evaluators": {"desired": 2, "ready": 1},
        "generation": 2,
        "frontSize": 3,
        "hypervolume": 0.5,
        "artifactsUri": f"s3://xnas/searches/{namespace}/{name}/uid",
    }
    return made
