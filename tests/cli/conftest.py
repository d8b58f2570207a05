"""The command line without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name that is no folder must not be looked for on the cluster of whoever runs the tests."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / ".kube" / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("XNAS_ADDRESS", raising=False)
