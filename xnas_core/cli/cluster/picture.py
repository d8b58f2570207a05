"""What is known of a watched search, put together from events. Knows no terminal and no service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.search.view import CandidateRecord, SearchProgress
from xnas_core.service.values import (
    Deleted,
    Finished,
    FrontSummary,
    NewFront,
    NewState,
    Progressed,
    Standing,
    Stands,
    WatchEvent,
)


@dataclass(frozen=True, slots=True)
class FrontPart:
    """See tables.Fronted: the front, as far as its members are known."""

    spec: ArchitectureSearchSpec
    candidates: tuple[CandidateRecord, ...]
    front: tuple[str, ...]


@dataclass
class Picture:
    """A search that is watched.

    Attributes:
        place: what to type for it.
        spec: the accepted one; None until it is known.
        deleted: the search is gone.
    """

    place: str
    standing: Standing | None = None
    progress: SearchProgress | None = None
    front: FrontSummary = field(default_factory=FrontSummary)
    spec: ArchitectureSearchSpec | None = None
    deleted: bool = False
    _records: dict[str, CandidateRecord] = field(default_factory=dict)

    def take(self, event: WatchEvent) -> None:
        """Take an event."""
        match event:
            case Stands(_, standing, progress, front):
                self.standing, self.progress, self.front = standing, progress, front
            case NewState(standing):
                self.standing = standing
            case Progressed(progress):
                self.progress = progress or self.progress
            case NewFront(front):
                self.front = front
                # Whoever was beaten never comes back.
                self._records = {known: self._records[known] for known in front.members if known in self._records}
            case Finished(candidates):
                self.know(candidates)
            case Deleted():
                self.deleted = True

    def know(self, candidates: Sequence[CandidateRecord]) -> None:
        """Take candidates as they are now."""
        self._records |= {candidate.id: candidate for candidate in candidates}

    @property
    def unknown(self) -> tuple[str, ...]:
        """Members of the front of which only the id is known."""
        return tuple(member for member in self.front.members if member not in self._records)

    @property
    def members(self) -> FrontPart | None:
        """The front's known members; None where there is nothing to show yet."""
        if self.spec is None:
            return None
        known = tuple(self._records[member] for member in self.front.members if member in self._records)
        return FrontPart(self.spec, known, tuple(record.id for record in known)) if known else None
