"""What the parts of one search's controller share: the resource, and what is known and wanted of its search."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from xnas_core.api.status import ConditionReason
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch.grants import DataGrantSource, GrantSource, NoDataGrants
from xnas_core.service.shelf import Shelf
from xnas_operator import kube_events
from xnas_operator.conditions import Finding
from xnas_operator.kube.client import KubeClient
from xnas_operator.kube.resources import JsonObject
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.names import Owner
from xnas_operator.metrics import Metrics
from xnas_operator.session import LeaseTimes, SearchSession
from xnas_operator.status import Trouble


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are done, in seconds.

    Attributes:
        status: between two patches of one status, at least.
        counts, longest_counts: the same where only counts and the front have changed, so that an evaluation costs few
            requests. The wait grows from the one to the other: it is as long as the search has gone on without another
            change of its status.
        look: after so long everything is looked at again, whatever was heard.
        pending_look: the same while evaluators are missing.
        starting: evaluators that are missing for less are just starting: no Events are read to learn why.
        patience: how long the store may be silent before the status says so.
        first_wait: before the first try after an error; it doubles.
        longest_wait: between two tries.
    """

    status: float = 1.0
    counts: float = 4.0
    longest_counts: float = 30.0
    look: float = 30.0
    pending_look: float = 5.0
    starting: float = 5.0
    patience: float = 10.0
    first_wait: float = 1.0
    longest_wait: float = 60.0


@dataclass(frozen=True)
class Surroundings:
    """What all searches share.

    Attributes:
        store: makes the store below a search's root.
        grants: makes the source of grants below a search's root.
        data_grants: makes the source of grants for data sets in the store, for the searches of a namespace.
        defaults: of evaluator pods, as they are now (the certificate authority may change).
        bucket: name of the bucket; prefix: of all keys in it.
        may_read: whether searches of a namespace may read data at an s3:// URI.
        synced: whether all Jobs and pods were listed once, so that what is not known is not there.
        shelf: holds the searches that have ended and were asked for last.
        turnstile: lets searches that need no evaluators decide one after the other.
    """

    kube: KubeClient
    store: Callable[[str], ObjectStore]
    grants: Callable[[str], GrantSource]
    defaults: Callable[[], EvaluatorDefaults]
    times: LeaseTimes
    bucket: str
    prefix: str
    may_read: Callable[[str, str], bool]
    synced: Callable[[], bool]
    data_grants: Callable[[str], DataGrantSource] = lambda _namespace: NoDataGrants()
    metrics: Metrics = field(default_factory=Metrics)
    pace: Pace = Pace()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    turnstile: asyncio.Lock = field(default_factory=asyncio.Lock)
    shelf: Shelf = field(default_factory=Shelf)

    async def tell(self, owner: Owner, kind: kube_events.EventType, reason: str, message: str) -> None:
        """Make a Kubernetes Event about a search; that it cannot be made is no trouble of the search."""
        await kube_events.tell(self.kube, owner, kind, reason, message)


@dataclass
class Known:
    """The state of one controller.

    Attributes:
        body: the resource as it was seen last.
        status: its status as it was seen or written last.
        accepted: the Accepted condition.
        trouble: what stands in the way, if anything.
        job_trouble: what stands in the way of the evaluators' Job, as of the last look.
        changed_fields: see Situation.
        report_uri: where the report lies, once the search's end was published.
        wants_evaluators: whether there is work; None until the journal was read: evaluators of an earlier life go on
            meanwhile.
        journal_read: whether it is known if the search has begun.
        session: the search while it is open here.
        gone: the resource is being deleted, or deleted.
        dirty: evaluators or status have to be looked at.
    """

    body: JsonObject
    status: Mapping[str, Any] = field(default_factory=dict)
    accepted: Finding = field(
        default_factory=lambda: Finding.unknown(ConditionReason.AWAITING_EVALUATORS, "the spec is being looked at")
    )
    trouble: Trouble | None = None
    job_trouble: Trouble | None = None
    changed_fields: tuple[str, ...] = ()
    report_uri: str | None = None
    wants_evaluators: bool | None = None
    journal_read: bool = False
    session: SearchSession | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    dirty: asyncio.Event = field(default_factory=asyncio.Event)
