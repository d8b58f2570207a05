"""Memory of the operator: of one large search, and of many at once. Each is measured in a pod of its own."""

from __future__ import annotations

import time

from benchmarks.cluster import operator_pod
from benchmarks.cluster.operator_pod import Memory
from benchmarks.cluster.place import goal, graph_only, load, namespace
from benchmarks.results_table import Table
from tests.e2e.cluster_tools import Cluster, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import search, tabular

GOAL_MIB = 400.0
LARGE = 16_000
SEARCHES = 50
WITH_EVALUATORS = 4
"""So many of the searches look up a table, with an evaluator each; 50 evaluators do not fit on a small cluster."""
EVALUATIONS = 400
_WAIT_SECONDS = 900.0
_OVER = {"Complete", "Failed"}


def measure(xnas: Installation) -> Table:
    """Measure an idle operator, one with a search of 16,000 candidates, and one with 50 searches."""
    _fresh(xnas)
    idle = operator_pod.memory(xnas)
    large = _large(xnas)
    _fresh(xnas)
    many, at_once = _many(xnas)
    cases = [
        ("no search", idle),
        (f"{LARGE:,} candidates, one search", large),
        (f"{SEARCHES} searches, {at_once} of them running at one moment", many),
    ]
    notes = [
        goal(f"under {GOAL_MIB:g} MiB, {title}", f"{found.peak:.0f} MiB", found.peak < GOAL_MIB)
        for title, found in cases[1:]
    ]
    if any(found.restarts for _, found in cases):
        notes.append("after a restart the peak is that of the last process only")
    notes.append(
        f"the {SEARCHES} searches: {SEARCHES - WITH_EVALUATORS} of {EVALUATIONS} candidates on graph-only objectives, "
        f"{WITH_EVALUATORS} on a table with an evaluator each"
    )
    return Table(
        "cluster_memory",
        "Memory of the operator's process, a fresh pod for each row with searches",
        ["operator with", "peak, VmHWM (MiB)", "at the end, VmRSS (MiB)", "restarts"],
        [_row(title, found) for title, found in cases],
        [*notes, load()],
    )


def _row(title: str, found: Memory) -> list[str]:
    return [title, f"{found.peak:.0f}", f"{found.now:.0f}", str(found.restarts)]


def _fresh(xnas: Installation) -> None:
    """Replace the operator's pod."""
    before = xnas.active_pod()
    xnas.kill_operator()
    until(lambda: xnas.active_pod() != before, 60, "another operator is active")
    until(lambda: operator_pod.memory(xnas), 60, "it answers")


def _large(xnas: Installation) -> Memory:
    with namespace(xnas.cluster) as place:
        xnas.cluster.apply(search("large", place, graph_only(LARGE)))
        status = xnas.cluster.wait_for_state(place, "large", "Complete", _WAIT_SECONDS)
        if status["evaluations"]["finished"] != LARGE:
            raise AssertionError(f"{status['evaluations']['finished']} candidates, {LARGE} were asked for")
        return operator_pod.memory(xnas)


def _many(xnas: Installation) -> tuple[Memory, int]:
    """Return the memory, and how many searches were seen running at the same time."""
    cluster = xnas.cluster
    with namespace(cluster, table=True) as place:
        small = {"resources": {"requests": {"cpu": "50m", "memory": "100Mi"}}}
        specs = [graph_only(EVALUATIONS, seed) for seed in range(1, SEARCHES - WITH_EVALUATORS + 1)]
        for seed in range(WITH_EVALUATORS):
            # The table lasts longer than the others, so that all are there at once.
            spec = tabular(10 * EVALUATIONS, seed=seed, slots=1)
            spec["evaluators"]["template"]["spec"]["containers"][0] |= small
            specs.insert(0, spec)
        cluster.apply(*(search(f"many-{number}", place, spec) for number, spec in enumerate(specs)))
        most, states, deadline = 0, ["Pending"], time.monotonic() + _WAIT_SECONDS
        while not set(states) <= _OVER:
            states = _states(cluster, place)
            most = max(most, states.count("Running"))
            if time.monotonic() > deadline:
                raise AssertionError(f"not all of {SEARCHES} searches finished within {_WAIT_SECONDS:g} s: {states}")
            time.sleep(1)
        if "Failed" in states:
            raise AssertionError(f"a search in {place} has failed")
        return operator_pod.memory(xnas), most


def _states(cluster: Cluster, place: str) -> list[str]:
    return [item.get("status", {}).get("state", "Pending") for item in cluster.items("architecturesearches", place)]
