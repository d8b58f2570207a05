"""Run the benchmarks of the cluster, or those named: `python -m benchmarks.cluster [NAME…]`.

XNAS is installed for them with helm, and removed at the end. It must not be installed already.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks.cluster import api_requests, memory, overhead, start
from benchmarks.results_table import Table
from tests.e2e.cluster_tools import Cluster, missing_parts
from tests.e2e.installation import Installation

DEFAULTS = ("leaderElection.leaseDurationSeconds=15", "leaderElection.renewSeconds=5", "evaluator.graceSeconds=60")
"""The chart's own, which the cluster tests shorten."""
PARTS: Mapping[str, Callable[[Installation], Table]] = {
    "start": start.measure,
    "overhead": overhead.measure,
    "requests": api_requests.measure,
    "memory": memory.measure,
}


def main(argv: Sequence[str]) -> int:
    """Install, measure, publish, uninstall."""
    parser = argparse.ArgumentParser(prog="benchmarks.cluster", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args(argv)
    if unknown := sorted(set(options.names) - set(PARTS)):
        parser.error(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if missing := missing_parts():
        print(f"these benchmarks need a cluster and an S3 server; missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    cluster = Cluster()
    xnas = Installation(cluster, "xnas-bench")
    try:
        xnas.install(*DEFAULTS)
        if others := json.loads(cluster.kubectl("get", "architecturesearches", "-A", "-o", "json"))["items"]:
            print(
                f"{len(others)} searches of others are on this cluster; what they do is measured, too", file=sys.stderr
            )
        for name in options.names or PARTS:
            table = PARTS[name](xnas)
            if options.no_write:
                print(table.markdown(), flush=True)
            else:
                table.publish()
    finally:
        xnas.uninstall()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
