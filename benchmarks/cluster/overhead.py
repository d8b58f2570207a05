"""What the platform adds to each evaluation on a warm evaluator, beside a pod for each trial on the same cluster."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from benchmarks.cluster import operator_pod, pod_per_trial
from benchmarks.cluster.journalled import Gap, events_of, gaps
from benchmarks.cluster.place import goal, load, namespace, remove
from benchmarks.cluster.pod_per_trial import Trial
from benchmarks.results_table import Table
from tests.e2e.cluster_tools import Document, store_of, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import engine_of, search, tabular, training

GOAL_MS = 20.0
GOAL_RATIO = 100.0
TRIALS = 8
TABULAR = 1000
TRAINED = 24
WARM_UP = {"table": 50, "training": 4}
_WAIT_SECONDS = 600.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Case:
    """One kind of evaluation, both ways. `journal_ms` is the mean time to make a segment durable."""

    name: str
    title: str
    warm: Sequence[Gap]
    trials: Sequence[Trial]
    journal_ms: float

    @property
    def mean_ms(self) -> float:
        """What XNAS adds to each candidate."""
        return statistics.mean(gap.overhead for gap in self.warm) * 1000

    @property
    def median_ms(self) -> float:
        """The same, of the candidate in the middle."""
        return statistics.median(gap.overhead for gap in self.warm) * 1000

    @property
    def storing_ms(self) -> float:
        """The evaluator's time for training states and checkpoint: on both sides part of the evaluation."""
        return statistics.mean(gap.storing for gap in self.warm) * 1000

    @property
    def computing_ms(self) -> float:
        """The evaluator's time for data, network, training and measuring."""
        return statistics.mean(gap.computing for gap in self.warm) * 1000

    @property
    def pod_ms(self) -> float:
        """Overhead of a pod for each trial, median."""
        return statistics.median(trial.overhead for trial in self.trials) * 1000

    @property
    def ratio(self) -> float:
        """How many times less XNAS adds than a pod for each trial, by the mean."""
        return self.pod_ms / self.mean_ms


def trainings(evaluations: int) -> Document:
    """Return the spec of a search that trains small networks on digits, about a second each, one at a time."""
    return training(evaluations, seed=7, epochs=6, population=12, replicas=1, slotsPerEvaluator=1)


def measure(xnas: Installation) -> Table:
    """Measure both kinds of evaluation, each both ways."""
    with namespace(xnas.cluster, table=True) as place:
        cases = [
            _case(xnas, place, "table", "a row of a table", tabular(TABULAR, slots=1)),
            _case(xnas, place, "training", "training on digits", trainings(TRAINED)),
        ]
    notes = [note for case in cases for note in _notes(case)]
    return Table(
        "cluster_overhead",
        "What the platform adds to each evaluation: one warm evaluator with one slot, and a pod for each trial",
        [
            "evaluation", "computing (ms)", "storing states and checkpoint (ms)",
            "XNAS adds, mean (ms)", "median (ms)", "of it the journal (ms)",
            "a pod a trial adds, median (ms)", "times less", "candidates", "pods",
        ],
        [_row(case) for case in cases],
        [
            *notes,
            "XNAS adds: from one result to the next, less the worker's own time for the first two columns",
            "a pod a trial adds: from asking for its Job until that is complete, less the evaluation's own time, which "
            "importing torch is not part of",
            load(),
        ],
    )  # fmt: skip


def _case(xnas: Installation, place: str, name: str, title: str, spec: Document) -> Case:
    cluster = xnas.cluster
    before = operator_pod.samples(xnas)
    cluster.apply(search(name, place, spec))
    pod = until(lambda: cluster.pods_of(place, name), 60, "it has an evaluator")[0]
    status: dict[str, Any] = cluster.wait_for_state(place, name, "Complete", _WAIT_SECONDS)
    after = operator_pod.samples(xnas)
    store = store_of(status)
    warm, engine = gaps(events_of(store), WARM_UP[name]), engine_of(store)
    remove(cluster, place, name)
    _log.info("search measured", search=name, overhead_ms=statistics.mean(gap.overhead for gap in warm) * 1000)
    accepted = json.loads(json.dumps(dict(engine.spec_document)))
    trials = pod_per_trial.run(cluster, place, pod, accepted, pod_per_trial.assignments(engine, TRIALS))
    for candidate, trial in zip(engine.candidates, trials, strict=False):
        _check_same(candidate.metrics, trial.metrics)
    return Case(name, title, warm, trials, operator_pod.mean_ms(before, after, "xnas_journal_seconds"))


def _check_same(warm: Mapping[str, float], cold: Mapping[str, float]) -> None:
    """Raise AssertionError unless both ways measured the same: else the comparison means nothing."""
    same = [name for name in ("c10_test_200", "accuracy", "introspectability") if name in cold]
    if not same or any(abs(warm[name] - cold[name]) > 1e-6 for name in same):
        raise AssertionError(f"the pod measured {cold}, the evaluator {warm}")


def _row(case: Case) -> list[str]:
    return [
        case.title,
        f"{case.computing_ms:,.0f}",
        f"{case.storing_ms:.1f}",
        f"{case.mean_ms:.1f}",
        f"{case.median_ms:.1f}",
        f"{case.journal_ms:.1f}",
        f"{case.pod_ms:,.0f}",
        f"{case.ratio:,.0f}",
        f"{len(case.warm):,}",
        str(len(case.trials)),
    ]


def _notes(case: Case) -> list[str]:
    return [
        goal(f"{GOAL_MS:g} ms a candidate, {case.name}", f"{case.mean_ms:.1f} ms", case.mean_ms <= GOAL_MS),
        goal(
            f"{GOAL_RATIO:g} times less than a pod a trial, {case.name}",
            f"{case.ratio:,.0f} times",
            case.ratio >= GOAL_RATIO,
        ),
    ]
