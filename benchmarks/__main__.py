"""Run all benchmarks, or those named: `python -m benchmarks [NAME…]`.

`cluster` and its parts (`cluster.start` ...) need a cluster, and are left out of all benchmarks where there is none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

NAMES = (
    "engine",
    "search_quality",
    "utilisation",
    "training",
    "introspectability",
    "measures",
    "explainers",
    "explanation_cost",
    "dispatch",
)
CLUSTER = ("cluster", "cluster.start", "cluster.overhead", "cluster.requests", "cluster.memory")


def main(arguments: list[str]) -> int:
    """Run each benchmark in a process of its own, so that none measures the other's memory or threads."""
    known = (*NAMES, *CLUSTER)
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in arguments or everything():
        print(f"\n== {name} ==", flush=True)
        if subprocess.run(command(name), check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def everything() -> Sequence[str]:
    """Return the benchmarks that can run here."""
    if os.environ.get("KUBECONFIG") and os.environ.get("XNAS_S3_ENDPOINT"):
        return (*NAMES, CLUSTER[0])
    print("left out: cluster, which needs KUBECONFIG and XNAS_S3_*", flush=True)
    return NAMES


def command(name: str) -> list[str]:
    """Return the command of one benchmark."""
    module, _, part = name.partition(".")
    return [sys.executable, "-m", f"benchmarks.{module}", *([part] if part else [])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
