"""What the operator's pod tells of itself: its metrics, and the memory of its process."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.installation import Installation

_PORT = 8080
_TIMEOUT_SECONDS = 10.0
_NOT_COUNTED = ("leases", "version")
"""Of the leader election, and of the readiness probe."""
Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]
"""Values by name and sorted labels."""


@dataclass(frozen=True)
class Memory:
    """Of the operator's process, in MiB.

    Attributes:
        peak: the most that it ever held (VmHWM).
        now: what it holds (VmRSS).
        restarts: how often the process ended and began anew in its pod: both are of the last one.
    """

    peak: float
    now: float
    restarts: int = 0


@dataclass(frozen=True)
class Requests:
    """Requests to the Kubernetes API between two readings, without those of the leader election and of health.

    Attributes:
        status: writes of a search's status.
        by_kind: all, by "verb resource".
    """

    status: int
    by_kind: Mapping[str, int]

    @property
    def all(self) -> int:
        """How many in all."""
        return sum(self.by_kind.values())


def memory(xnas: Installation) -> Memory:
    """Read the memory of the active operator."""
    name = xnas.active_pod()
    text = xnas.cluster.kubectl("exec", "-n", xnas.namespace, name, "--", "cat", "/proc/1/status")
    pod = xnas.cluster.get("pod", xnas.namespace, name)
    restarts = sum(container["restartCount"] for container in pod["status"].get("containerStatuses") or ())
    return replace(parse_memory(text), restarts=restarts)


def parse_memory(text: str) -> Memory:
    """Read /proc/PID/status.

    Raises:
        KeyError: it lacks VmHWM or VmRSS.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    peak, now = (int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))
    return Memory(peak, now)


def samples(xnas: Installation) -> Samples:
    """Read all metrics of the active operator."""
    with (
        xnas.cluster.forward(xnas.namespace, f"pod/{xnas.active_pod()}", _PORT) as address,
        urllib.request.urlopen(f"http://{address}/metrics", timeout=_TIMEOUT_SECONDS) as answer,
    ):
        return parse_samples(answer.read().decode())


def parse_samples(text: str) -> Samples:
    """Read the text format of Prometheus."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def requests(before: Samples, after: Samples) -> Requests:
    """Return the requests between two readings of one process."""
    by_kind: dict[str, int] = {}
    status = 0
    for (name, pairs), value in after.items():
        count = round(value - before.get((name, pairs), 0.0))
        labels = dict(pairs)
        if name != "xnas_api_requests_total" or not count or labels["resource"] in _NOT_COUNTED:
            continue
        kind = f"{labels['verb']} {labels['resource']}"
        by_kind[kind] = by_kind.get(kind, 0) + count
        if labels["resource"] == "architecturesearches/status" and labels["verb"] in ("patch", "update"):
            status += count
    return Requests(status, by_kind)


def mean_ms(before: Samples, after: Samples, histogram: str, **labels: str) -> float:
    """Return the mean of what a histogram of seconds took in between two readings, in ms; NaN if that was nothing."""
    pairs = tuple(sorted(labels.items()))
    total, count = (
        after.get((f"{histogram}_{part}", pairs), 0.0) - before.get((f"{histogram}_{part}", pairs), 0.0)
        for part in ("sum", "count")
    )
    return total / count * 1000 if count else float("nan")
