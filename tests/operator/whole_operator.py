"""The operator's own process, as `python -m xnas_operator` starts it, over a fake API server and a fake S3 store."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.fake_s3 import FakeS3
from xnas_core.testing.waiting import until
from xnas_operator.app import Operator
from xnas_operator.settings import EvaluatorSettings, GrpcSettings, HttpSettings, Settings, StoreSettings, TlsSettings

OWN = "xnas"
"""The operator's namespace, which is not among those of searches."""


@dataclass(frozen=True)
class Running:
    """An operator that leads: its port, and the authority of its certificate."""

    port: int
    ca_file: Path


@asynccontextmanager
async def whole_operator(
    api: FakeApi, s3: FakeS3, folder: Path, pod: str = "operator-1", **settings: Any
) -> AsyncIterator[Running]:
    """Run an operator until it leads; leaving the block asks it to end, as a kubelet does.

    The caller has set KUBECONFIG, which kopf reads, to the fake's.
    """
    if not api.exists("pods", OWN, pod):
        api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "namespace": OWN},
                "spec": {"containers": [{"name": "operator", "image": "operator"}]},
            }
        )
    ports = free_ports(2)
    made = Settings(
        grpc=GrpcSettings(port=ports[0], evaluator_address=f"xnas.{OWN}.svc:{ports[0]}"),
        http=HttpSettings(port=ports[1]),
        store=StoreSettings(endpoint=s3.url, bucket=s3.bucket),
        evaluator=EvaluatorSettings(image="evaluator"),
        pod_name=pod,
        pod_namespace=OWN,
        access_key=SecretStr("access"),
        secret_key=SecretStr("secret"),
        **{"tls": TlsSettings(), **settings},
    )
    # kopf has a thread of its own, which ends a little after the operator: whoever stops the API server waits for it.
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor()
    loop.set_default_executor(threads)
    running = asyncio.create_task(Operator(made, Path(os.environ["KUBECONFIG"])).run())

    def leads() -> bool:
        if running.done():
            running.result()
        labels = api.get("pods", OWN, pod)["metadata"].get("labels") or {}
        return any(value == "true" for key, value in labels.items() if key.startswith("xnas.dev/"))

    try:
        await until(leads)
        secret = api.get("secrets", OWN, made.tls.secret_name)
        ca_file = folder / "ca.crt"
        ca_file.write_bytes(base64.b64decode(secret["data"]["ca.crt"]))
        yield Running(ports[0], ca_file)
    finally:
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 30)
        fresh = ThreadPoolExecutor()
        loop.set_default_executor(fresh)
        await loop.run_in_executor(fresh, threads.shutdown)


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, for settings that cannot say "any"."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
