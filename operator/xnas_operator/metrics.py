"""Prometheus metrics of the operator. Every label has a bound: known words, or searches that exist."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

from xnas_core.api.status import StateWord
from xnas_operator.kube import Exchange
from xnas_operator.manifests.names import Owner

_M = TypeVar("_M", Counter, Gauge)

OUTCOMES = ("succeeded", "failed", "preempted")
SLOT_STATES = ("busy", "free", "disconnected")
OPERATIONS = ("create", "put", "get", "list", "delete", "presign", "probe")
OTHER = "other"
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
_LONG = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One set of series with a registry of its own. Use from one event loop or under a lock of one's own.

    Series are named by namespace and name of a search. They are those of the resource that began last under that name:
    what is said of one before it, which may be on its way out still, changes nothing.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        search = ("namespace", "search")
        here = self.registry
        self._evaluations = Counter(
            "xnas_evaluations_total", "Attempts that ended, by outcome", (*search, "outcome"), registry=here
        )
        self._slots = Gauge("xnas_slots", "Slots of evaluators, by state", (*search, "state"), registry=here)
        self._front_size = Gauge("xnas_front_size", "Candidates on the Pareto front", search, registry=here)
        self._hypervolume = Gauge("xnas_hypervolume", "Hypervolume of the front", search, registry=here)
        self._evaluation = Histogram(
            "xnas_evaluation_seconds", "Time of a successful evaluation", buckets=_LONG, registry=here
        )
        self._queue_wait = Histogram(
            "xnas_queue_wait_seconds", "Time between a proposal and its first attempt", buckets=_LONG, registry=here
        )
        self._journal = Histogram(
            "xnas_journal_seconds", "Time to make a journal segment durable", buckets=_SHORT, registry=here
        )
        self._store = Histogram(
            "xnas_store_seconds", "Time of a request to the store", ("operation",), buckets=_SHORT, registry=here
        )
        self._requests = Counter(
            "xnas_api_requests_total",
            'Requests to the Kubernetes API; code "none": no answer',
            ("verb", "resource", "code"),
            registry=here,
        )
        self._errors = Counter(
            "xnas_api_errors_total", "Requests to the Kubernetes API that were refused or not answered", registry=here
        )
        self._searches = Gauge("xnas_searches", "Searches, by state", ("state",), registry=here)
        self._of_search: tuple[MetricWrapperBase, ...] = (
            self._evaluations,
            self._slots,
            self._front_size,
            self._hypervolume,
        )
        self._known: dict[Owner, set[tuple[MetricWrapperBase, tuple[str, ...]]]] = {}
        self._states: dict[Owner, str] = {}
        self._named: dict[tuple[str, str], Owner] = {}
        self._count_searches()

    def begin(self, owner: Owner) -> None:
        """From now on the series of this name are this search's."""
        before = self._named.get((owner.namespace, owner.name))
        if before != owner:
            self._remove(before)
        self._named[owner.namespace, owner.name] = owner

    def evaluation_ended(self, owner: Owner, outcome: str, seconds: float | None = None) -> None:
        """Count an attempt; `seconds` of a successful one, by the evaluator's clock."""
        if self._is_named(owner):
            self._series(self._evaluations, owner, _bounded(outcome, OUTCOMES)).inc()
        if outcome == "succeeded" and seconds is not None:
            self._evaluation.observe(seconds)

    def waited(self, seconds: float) -> None:
        """A task waited so long for its first slot."""
        self._queue_wait.observe(seconds)

    def slots(self, owner: Owner, counts: Mapping[str, int]) -> None:
        """Slots by state (busy, free, disconnected); a state that is not named has none."""
        for state in SLOT_STATES if self._is_named(owner) else ():
            self._series(self._slots, owner, state).set(counts.get(state, 0))

    def front(self, owner: Owner, size: int, hypervolume: float | None) -> None:
        """The front as it is published."""
        for metric, value in ((self._front_size, size), (self._hypervolume, hypervolume)):
            if value is not None and self._is_named(owner):
                self._series(metric, owner).set(value)

    def forget(self, owner: Owner) -> None:
        """Remove all series of a search that was deleted; those of another one that has its name now stay."""
        if self._is_named(owner):
            self._remove(owner)
            del self._named[owner.namespace, owner.name]
        if self._states.pop(owner, None) is not None:
            self._count_searches()

    def standing(self, owner: Owner, state: str) -> None:
        """A search is in this state, a StateWord, until it says another or is forgotten."""
        if self._states.get(owner) != state:
            self._states[owner] = state
            self._count_searches()

    def _count_searches(self) -> None:
        counts = collections.Counter(self._states.values())
        for state in StateWord:
            self._searches.labels(state.value).set(counts[state.value])

    def journal(self, seconds: float) -> None:
        """A segment became durable after so long."""
        self._journal.observe(seconds)

    def store(self, operation: str, seconds: float) -> None:
        """A request to the store took so long, whether it succeeded or not."""
        self._store.labels(_bounded(operation, OPERATIONS)).observe(seconds)

    def api(self, exchange: Exchange) -> None:
        """One request to the Kubernetes API: give this to KubeClient as its hook."""
        code = str(exchange.code) if 100 <= exchange.code < 600 else "none"
        self._requests.labels(_bounded(exchange.verb, _VERBS), exchange.resource, code).inc()
        if code == "none" or exchange.code in (401, 403, 429) or exchange.code >= 500:
            self._errors.inc()

    def exposition(self) -> tuple[bytes, str]:
        """The text for Prometheus and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _is_named(self, owner: Owner) -> bool:
        return self._named.get((owner.namespace, owner.name)) == owner

    def _series(self, metric: _M, owner: Owner, *labels: str) -> _M:
        whole = (owner.namespace, owner.name, *labels)
        self._known.setdefault(owner, set()).add((metric, whole))
        return metric.labels(*whole)

    def _remove(self, owner: Owner | None) -> None:
        for metric, labels in self._known.pop(owner, ()) if owner is not None else ():
            metric.remove(*labels)


def _bounded(value: str, known: tuple[str, ...]) -> str:
    return value if value in known else OTHER
