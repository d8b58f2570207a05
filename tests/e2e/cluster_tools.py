"""A real cluster under test, by kubectl and helm, and the store behind it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings

Document = dict[str, Any]
T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CALL_SECONDS = 60.0
"""Deadline of one call of kubectl."""


class CommandFailedError(AssertionError):
    """A command of kubectl or helm was refused; the message is what it said."""


def command(
    *arguments: str,
    given: str | None = None,
    seconds: float = CALL_SECONDS,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Run a command, with variables added to the environment, and return what it printed.

    Raises:
        CommandFailedError: it failed.
    """
    done = subprocess.run(
        arguments, input=given, capture_output=True, text=True, timeout=seconds, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    if done.returncode:
        raise CommandFailedError(f"{' '.join(arguments[:6])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def until(find: Callable[[], T], seconds: float, what: str) -> T:
    """Return what `find` returns once that is true; errors of kubectl meanwhile count as not yet."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = find()
        except (CommandFailedError, subprocess.TimeoutExpired, KeyError) as error:
            last = error
        else:
            last = found
            if found:
                return found
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {last}")


@dataclass(frozen=True)
class Cluster:
    """The cluster of KUBECONFIG.

    Attributes:
        tool: the program that stops parts of a test cluster (`api-down`, `s3 down` ...); None where there is none.
    """

    tool: str | None = field(default_factory=lambda: os.environ.get("XNAS_E2E_TESTCLUSTER"))

    def kubectl(self, *arguments: str, given: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """Run kubectl."""
        return command("kubectl", "--request-timeout=20s", *arguments, given=given, seconds=seconds)

    def apply(self, *documents: Mapping[str, Any], user: str = "") -> str:
        """Apply documents, as another user where one is named."""
        acting = ("--as", user) if user else ()
        return self.kubectl("apply", *acting, "-f", "-", given=yaml.safe_dump_all(list(documents)))

    def items(self, kind: str, namespace: str, labels: str = "") -> list[Document]:
        """Return all objects of a kind in a namespace."""
        chosen = ("-l", labels) if labels else ()
        found: list[Document] = json.loads(self.kubectl("get", kind, "-n", namespace, *chosen, "-o", "json"))["items"]
        return found

    def get(self, kind: str, namespace: str, name: str) -> Document:
        """Return one object."""
        found: Document = json.loads(self.kubectl("get", kind, "-n", namespace, name, "-o", "json"))
        return found

    def delete(self, kind: str, namespace: str, name: str, *arguments: str) -> None:
        """Delete an object; wait for nothing."""
        self.kubectl("delete", kind, "-n", namespace, name, "--wait=false", *arguments)

    def status(self, namespace: str, name: str) -> Document:
        """Return a search's status."""
        status: Document = self.get("architecturesearches", namespace, name).get("status") or {}
        return status

    def wait_for_state(self, namespace: str, name: str, state: str, seconds: float) -> Document:
        """Wait until a search is in a state; return its status."""
        until(lambda: self.status(namespace, name).get("state") == state, seconds, f"{namespace}/{name} is {state}")
        return self.status(namespace, name)

    def wait_for_evaluations(self, namespace: str, name: str, count: int, seconds: float) -> None:
        """Wait until so many evaluations have finished."""
        until(
            lambda: self.status(namespace, name)["evaluations"]["finished"] >= count,
            seconds,
            f"{count} evaluations of {namespace}/{name}",
        )

    def pods_of(self, namespace: str, name: str) -> list[Document]:
        """Return the evaluator pods of a search that have not ended."""
        found = self.items("pods", namespace, f"xnas.dev/search={name}")
        return [pod for pod in found if pod["status"].get("phase") in ("Pending", "Running")]

    def outage(self, *verb: str) -> None:
        """Use the test cluster's tool.

        A server that comes back has another hardware address; until neighbours have forgotten the old one, which can
        take longer than the tool waits, it seems away. So the tool is asked up to three times.
        """
        if self.tool is None:
            raise AssertionError("set XNAS_E2E_TESTCLUSTER to the program that stops parts of the cluster")
        for left in (2, 1, 0):
            try:
                command(self.tool, *verb, seconds=120)
                return
            except CommandFailedError:
                if not left:
                    raise

    @contextlib.contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """Forward a port of this machine; yield its address."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            here = int(probe.getsockname()[1])
        process = subprocess.Popen(
            ["kubectl", "port-forward", "-n", namespace, target, f"{here}:{port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _listens(here), 20, "the port is forwarded")
            yield f"127.0.0.1:{here}"
        finally:
            process.terminate()
            process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def store_settings(prefix: str = "") -> S3Settings:
    """Return the store that the cluster under test uses."""
    endpoint, bucket, region, access, secret = (
        os.environ[f"XNAS_S3_{name}"] for name in ("ENDPOINT", "BUCKET", "REGION", "ACCESS_KEY", "SECRET_KEY")
    )
    return S3Settings(endpoint, bucket, access, secret, region=region, prefix=prefix)


def store_of(status: Mapping[str, Any]) -> S3Store:
    """Return the store below a search's root."""
    bucket = os.environ["XNAS_S3_BUCKET"]
    return S3Store(store_settings()).below(str(status["artifactsUri"]).removeprefix(f"s3://{bucket}/"))


def missing_parts() -> Sequence[str]:
    """Return what is not there of what the tests need."""
    needed = [name for name in ("KUBECONFIG", "XNAS_S3_ENDPOINT", "XNAS_S3_BUCKET", "XNAS_S3_REGION",
                                "XNAS_S3_ACCESS_KEY", "XNAS_S3_SECRET_KEY") if not os.environ.get(name)]  # fmt: skip
    return [*needed, *(name for name in ("kubectl", "helm") if shutil.which(name) is None)]
