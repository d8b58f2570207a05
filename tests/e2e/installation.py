"""XNAS on the cluster under test, installed by helm as people install it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.cluster_tools import ROOT, Cluster, Document, command, until
from xnas_core.client import SearchClient

RELEASE = "xnas"
_OPERATOR_IMAGE = os.environ.get("XNAS_E2E_OPERATOR_IMAGE", "localhost/xnas-operator:dev")
EVALUATOR_IMAGE = os.environ.get("XNAS_E2E_EVALUATOR_IMAGE", "localhost/xnas-evaluator:dev")
_MINIO_IMAGE = os.environ.get("XNAS_E2E_MINIO_IMAGE", "")
"""For clusters that cannot pull the chart's own; tests/e2e/s3_stand_in makes one."""


@dataclass(frozen=True)
class Installation:
    """A release of the chart."""

    cluster: Cluster
    namespace: str

    def install(self, *more: str) -> None:
        """Install or upgrade with the store of XNAS_S3_*, and wait until the operator is ready.

        `more` are further `--set` values.
        """
        environment = os.environ
        self._install(
            f"store.endpoint={environment['XNAS_S3_ENDPOINT']}", f"store.bucket={environment['XNAS_S3_BUCKET']}",
            f"store.region={environment['XNAS_S3_REGION']}",
            f"store.accessKey={environment['XNAS_S3_ACCESS_KEY']}",
            f"store.secretKey={environment['XNAS_S3_SECRET_KEY']}",
            *more,
        )  # fmt: skip

    def install_with_own_store(self) -> None:
        """Install or upgrade with the chart's MinIO, and wait until both are ready."""
        image = _MINIO_IMAGE.rpartition(":")
        named = [f"minio.image.repository={image[0]}", f"minio.image.tag={image[2]}"] if _MINIO_IMAGE else []
        self._install("minio.enabled=true", *named)

    def _install(self, *store: str) -> None:
        operator, evaluator = _OPERATOR_IMAGE.rpartition(":"), EVALUATOR_IMAGE.rpartition(":")
        values = [
            f"image.repository={operator[0]}", f"image.tag={operator[2]}",
            f"evaluator.image.repository={evaluator[0]}", f"evaluator.image.tag={evaluator[2]}",
            # Shorter than the defaults, so that the tests wait less after each kill.
            "leaderElection.leaseDurationSeconds=6", "leaderElection.renewSeconds=2", "evaluator.graceSeconds=20",
            *store,
        ]  # fmt: skip
        sets = [part for value in values for part in ("--set", value)]
        command(
            "helm", "upgrade", "--install", RELEASE, str(ROOT / "charts/xnas"), "-n", self.namespace,
            "--create-namespace", "--wait", "--timeout", "120s", *sets, seconds=150,
        )  # fmt: skip

    def try_out(self) -> None:
        """Run `helm test`."""
        command("helm", "test", RELEASE, "-n", self.namespace, "--timeout", "90s", seconds=120)

    def uninstall(self) -> None:
        """Remove the release and its namespace; the CRD stays, as helm leaves it."""
        command("helm", "uninstall", RELEASE, "-n", self.namespace, "--wait", "--timeout", "60s", seconds=90)
        # Waited for, so that the tests can be run again at once.
        self.cluster.kubectl("delete", "namespace", self.namespace, "--timeout=150s", seconds=180)

    def operator_pods(self) -> list[Document]:
        """Return the operator's pods."""
        labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
        return self.cluster.items("pods", self.namespace, labels)

    def active_pod(self) -> str:
        """Return the name of the active operator's pod, once it serves."""

        def found() -> str:
            active = [pod for pod in self.operator_pods() if pod["metadata"]["labels"].get("xnas.dev/active") == "true"]
            return active[0]["metadata"]["name"] if active and "deletionTimestamp" not in active[0]["metadata"] else ""

        return until(found, 60, "an operator is active")

    def kill_operator(self) -> None:
        """Delete the active operator's pod at once, without a grace period."""
        self.cluster.delete("pod", self.namespace, self.active_pod(), "--force", "--grace-period=0")

    def token(self, namespace: str, account: str) -> str:
        """Return a token of a service account for calls to XNAS."""
        return self.cluster.kubectl("create", "token", account, "-n", namespace, "--audience", "xnas").strip()

    @contextmanager
    def client(self, token: str, folder: Path) -> Iterator[SearchClient]:
        """Connect to the active operator through a forwarded port."""
        secret = self.cluster.get("secret", self.namespace, f"{RELEASE}-tls")
        (folder / "ca.crt").write_bytes(base64.b64decode(secret["data"]["ca.crt"]))
        with (
            self.cluster.forward(self.namespace, f"pod/{self.active_pod()}", 8443) as address,
            SearchClient(
                address, token=token, ca_file=folder / "ca.crt", server_name=f"{RELEASE}.{self.namespace}.svc"
            ) as client,
        ):
            yield client
