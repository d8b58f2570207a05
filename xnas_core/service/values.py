"""What service, backends and SDK speak of, as values. Candidates are `search.view.CandidateRecord`s."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.status import StateWord
from xnas_core.search.view import CandidateRecord, CandidateState, HypervolumePoint, SearchProgress
from xnas_core.spaces.base import DataShape

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Bound of one message, in both directions."""
ANSWER_BYTES = 3 * 1024 * 1024
"""What a page is filled up to; the rest is room for what surrounds it."""
MAX_MANIFEST_BYTES = 1024 * 1024
MAX_PARAMETERS_BYTES = 64 * 1024
CHUNK_BYTES = 256 * 1024
"""Bytes of an object in one message."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One word for a search, and why: a CamelCase word and a sentence, both "" where there is nothing to say."""

    state: StateWord
    reason: str = ""
    message: str = ""

    @property
    def finished(self) -> bool:
        """Whether the search has ended."""
        return self.state in (StateWord.COMPLETE, StateWord.FAILED)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a search was accepted with; `versions` are packages' when it started."""

    spec: ArchitectureSearchSpec
    data_shape: DataShape
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SearchInfo:
    """A search as a resource.

    Attributes:
        progress: None until the search was accepted.
        manifest: the custom resource, status included; None in lists.
        accepted: None until then, and in lists.
    """

    namespace: str
    name: str
    uid: str
    standing: Standing
    progress: SearchProgress | None = None
    evaluators_desired: int = 0
    evaluators_ready: int = 0
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    manifest: Mapping[str, Any] | None = None
    accepted: Accepted | None = None


@dataclass(frozen=True, slots=True)
class FrontSummary:
    """The front by ids, best first objective first."""

    members: tuple[str, ...] = ()
    size: int = 0
    hypervolume: float = 0.0


async def _none(_start: int, _stop: int) -> Sequence[CandidateRecord]:
    return ()


@dataclass(frozen=True)
class SearchMoment:
    """A search at one moment, cheap to make: what a watch compares with what it said before.

    Attributes:
        uid: identity of the resource.
        progress: None until the search was accepted; so are `accepted` and `started_at`.
        finished: candidates that have finished. Together with `uid` it is the position in the journal, since the order
            in which candidates finished is journalled.
        arrivals: returns those candidates, from one position to another, as they are now. Callable as long as the
            moment is held; raises UnavailableError or StoreError where a search that has ended can't be read back.
    """

    uid: str
    standing: Standing
    progress: SearchProgress | None = None
    accepted: Accepted | None = None
    finished: int = 0
    arrivals: Callable[[int, int], Awaitable[Sequence[CandidateRecord]]] = _none
    front: FrontSummary = FrontSummary()
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True, slots=True)
class MetricRange:
    """Bounds of a metric or objective; a candidate without it is outside."""

    metric: str
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class CandidateQuery:
    """Which candidates, and in which order: all that is set has to be met.

    Attributes:
        ids: with one of these ids; None: all.
        order_by: a metric or objective; "": the order of proposal. Candidates without it come last.
    """

    states: tuple[CandidateState, ...] = ()
    on_front: bool | None = None
    min_generation: int | None = None
    max_generation: int | None = None
    metrics: tuple[MetricRange, ...] = ()
    ids: tuple[str, ...] | None = None
    order_by: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class CandidatePage:
    """A page of candidates; `next_page_token` is "" after the last one, `total_size` counts all pages' now."""

    candidates: tuple[CandidateRecord, ...]
    next_page_token: str
    total_size: int


@dataclass(frozen=True, slots=True)
class FrontPage:
    """A page of the front. `evaluations`: finished candidates that it is of; `history`: see the proto."""

    members: tuple[CandidateRecord, ...]
    next_page_token: str
    size: int
    hypervolume: float
    reference_point: tuple[float, ...] | None
    evaluations: int
    history: tuple[HypervolumePoint, ...] = ()


@dataclass(frozen=True, slots=True)
class LineageMember:
    """A candidate and how many steps it is above the one that was asked for (0: that one)."""

    candidate: CandidateRecord
    distance: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """A candidate and its ancestors, nearest first; `truncated`: some were left out."""

    members: tuple[LineageMember, ...]
    truncated: bool = False


# --- what a watch tells --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stands:
    """Where the search stands: first event of a watch that was not resumed."""

    uid: str
    standing: Standing
    progress: SearchProgress | None
    front: FrontSummary
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """Candidates were scored or failed for good, in this order."""

    candidates: tuple[CandidateRecord, ...]
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class NewFront:
    """The front is another."""

    front: FrontSummary
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class NewState:
    """State, reason or message is another."""

    standing: Standing
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Progressed:
    """Numbers changed, or nothing did for a while: a sign of life."""

    progress: SearchProgress | None
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The search is gone; nothing follows."""

    token: str = field(default="", compare=False)


WatchEvent = Stands | Finished | NewFront | NewState | Progressed | Deleted
"""`token` is the position behind the event; give it to a new watch to go on."""
