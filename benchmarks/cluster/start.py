"""Seconds from `kubectl apply` to the first evaluation running, images present; by part."""

from __future__ import annotations

import statistics
import time

import structlog

from benchmarks.cluster import observing, stages
from benchmarks.cluster.journalled import begun, events_of
from benchmarks.cluster.place import goal, load, namespace, quickstart, remove
from benchmarks.results_table import Table
from tests.e2e.cluster_tools import store_of
from tests.e2e.installation import Installation

RUNS = 7
GOAL_SECONDS = 10.0
_WAIT_SECONDS = 120.0
_log = structlog.get_logger(__name__)


def measure(xnas: Installation, runs: int = RUNS) -> Table:
    """Apply the quickstart again and again, each time as a new search."""
    found = []
    with namespace(xnas.cluster) as place:
        for number in range(runs):
            found.append(_start(xnas, place, f"start-{number}"))
            _log.info("started", run=number, seconds=round(found[-1].total, 2))
    totals = [run.total for run in found]
    median, worst = statistics.median(totals), max(totals)
    return Table(
        "cluster_start",
        f"From `kubectl apply` of the quickstart to its first evaluation running: {runs} searches, images present",
        ["part", "median (s)", "worst (s)"],
        stages.rows(found),
        [
            goal(f"{GOAL_SECONDS:g} s, median", f"{median:.2f} s", median <= GOAL_SECONDS),
            f"worst of {runs}: {worst:.2f} s; each run: {', '.join(f'{seconds:.2f}' for seconds in totals)} s",
            "the import of torch is in the last part and, where evaluators describe the data, before it",
            load(),
        ],
    )


def _start(xnas: Installation, place: str, name: str) -> stages.Moments:
    cluster = xnas.cluster
    with (
        observing.watch(f"/apis/batch/v1/namespaces/{place}/jobs") as jobs,
        observing.watch(f"/api/v1/namespaces/{place}/pods") as pods,
    ):
        asked = time.time()
        cluster.apply(quickstart(name, place))
        cluster.wait_for_evaluations(place, name, 1, _WAIT_SECONDS)
        first = begun(events_of(store_of(cluster.status(place, name))))
        job = jobs.first(lambda _: True, 1, "a Job")
        pod = pods.first(lambda _: True, 1, "a pod")
        pod_name = pod.body["metadata"]["name"]
        moments = stages.Moments(
            asked=asked,
            job=job.time,
            pod=pod.time,
            scheduled=pods.first(observing.scheduled, 1, "a scheduled pod").time,
            started=observing.container_started(cluster, place, pod_name),
            connected=observing.connected(cluster.kubectl("logs", "-n", place, pod_name, "--timestamps")),
            accepted=first.accepted,
            assigned=first.assigned,
            working=first.working,
        )
    remove(cluster, place, name)
    return moments
