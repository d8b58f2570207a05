"""Runs helm on the chart, and gives what it renders as documents."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.absent import absent

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "xnas"
NAMESPACE = "xnas"
ACCESS_KEY = "access-key-of-the-test"
SECRET_KEY = "secret-key-of-the-test"
STORE: dict[str, Any] = {
    "store": {"endpoint": "http://10.0.0.2:7070", "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
}
"""The least that must be set."""

Document = Mapping[str, Any]


def find_helm() -> str:
    """Return helm's path; skip the test where there is none, except in CI, where that is a failure."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted(cache.glob("xnas-testcluster/bin/*/helm"), key=lambda path: path.stat().st_mtime)
    found = shutil.which("helm") or (str(built[-1]) if built else None)
    if found is None:
        absent("helm is neither on PATH nor built by the test cluster")
    return found


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return maps laid over each other, the last on top, as helm does it with values files."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


class Chart:
    """The chart, rendered with values. Results are kept: rendering is pure, but for made-up passwords."""

    def __init__(self, helm: str, folder: Path) -> None:
        self._helm = helm
        self._folder = folder
        self._kept: dict[str, list[dict[str, Any]]] = {}

    def run(self, verb: Sequence[str], values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run helm with a values file."""
        file = self._folder / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values)))
        return subprocess.run(
            [self._helm, *verb, "--values", str(file)], capture_output=True, text=True, check=False, timeout=60
        )

    def render(
        self, values: Mapping[str, Any], *, release: str = "xnas", namespace: str = NAMESPACE, only: str = ""
    ) -> list[dict[str, Any]]:
        """Return all rendered documents; fail the test where helm refuses."""
        key = yaml.safe_dump([dict(values), release, namespace, only])
        if key not in self._kept:
            done = self._template(values, release, namespace, only)
            assert done.returncode == 0, done.stderr
            self._kept[key] = [document for document in yaml.safe_load_all(done.stdout) if document is not None]
        return self._kept[key]

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Return why helm refuses to render; fail the test where it does not."""
        done = self._template(values, "xnas", NAMESPACE, "")
        assert done.returncode != 0, "helm took values that it must refuse"
        return done.stderr

    def notes(self, values: Mapping[str, Any]) -> str:
        """Return what helm prints after an installation.

        `helm install --dry-run` asks a cluster for its version, so a copy of the chart renders its notes as data.
        """
        if not (copy := self._folder / "with-notes").exists():
            shutil.copytree(CHART, copy)
            lines = (CHART / "templates" / "NOTES.txt").read_text().splitlines()
            head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata:\n  notes: |\n"
            (copy / "templates" / "shown.yaml").write_text(head + "\n".join(f"    {line}" for line in lines))
        done = self.run(["template", "xnas", str(copy), "-n", NAMESPACE, "--show-only", "templates/shown.yaml"], values)
        assert done.returncode == 0, done.stderr
        return str(yaml.safe_load(done.stdout)["data"]["notes"])

    def _template(
        self, values: Mapping[str, Any], release: str, namespace: str, only: str
    ) -> subprocess.CompletedProcess[str]:
        shown = ["--show-only", only] if only else []
        return self.run(["template", release, str(CHART), "-n", namespace, *shown], values)


def find(documents: Sequence[dict[str, Any]], kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    """Return the one document of this kind and name."""
    found = [
        document
        for document in documents
        if document["kind"] == kind
        and document["metadata"]["name"] == name
        and namespace in (None, document["metadata"].get("namespace"))
    ]
    assert len(found) == 1, f"{len(found)} documents are {kind} {name}"
    return found[0]


def kinds(documents: Sequence[Document], kind: str) -> list[Document]:
    """Return the documents of a kind."""
    return [document for document in documents if document["kind"] == kind]


def pods(documents: Sequence[Document]) -> Iterator[tuple[str, Any]]:
    """Yield (name, pod spec) of every pod that the documents make."""
    for document in documents:
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], document["spec"]
        elif document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def containers(pod: Any) -> list[Any]:
    """Return all containers of a pod spec, those that run first too."""
    return [*pod.get("initContainers", []), *pod["containers"]]
