"""What the engine keeps of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xnas_core.search.problem import Values
from xnas_core.search.sealing import sealed
from xnas_core.search.view import CandidateState, StoredArtifact
from xnas_core.spaces.base import Genes


@dataclass(slots=True)
class Candidate:
    """A proposed architecture.

    Attributes:
        state: PROPOSED until it is finished; whether it runs, the ledger knows.
        metrics: measured ones; static ones are in `parameters` and `macs`.
        values: objectives, minimised; None until known, or if one is undefined.
        violation: of measured constraints; None if a constrained metric is undefined.
    """

    number: int
    id: str
    genes: Genes
    encoding: str
    generation: int
    parents: tuple[str, ...]
    operators: tuple[str, ...]
    parameters: int | None
    macs: int | None
    proposed_at: float
    state: CandidateState = CandidateState.PROPOSED
    metrics: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    artifacts: list[StoredArtifact] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    values: Values | None = None
    violation: float | None = None
    failure: str = ""
    finished_at: float | None = None
    _sealed: bytes | None = None

    @property
    def finished(self) -> bool:
        """Whether it was scored or has failed for good."""
        return self.state in (CandidateState.SUCCEEDED, CandidateState.FAILED)

    @property
    def eligible(self) -> bool:
        """Whether it may be a parent: scored, every objective and constraint defined."""
        return self.state is CandidateState.SUCCEEDED and self.values is not None and self.violation is not None

    @property
    def feasible(self) -> bool:
        """Whether it may be on the front: eligible, and all constraints are met."""
        return self.eligible and self.violation == 0

    def all_metrics(self) -> dict[str, float]:
        """Return static and measured metrics; a measured one stands in for a static one of its name."""
        static = {"parameters": self.parameters, "macs": self.macs}
        return {name: float(value) for name, value in static.items() if value is not None} | self.metrics

    def seal(self) -> None:
        """Write it down as JSON now; to be called after each change.

        So a snapshot only gathers what is written already, and does not hold up the loop.
        """
        self._sealed = sealed(self._fields())

    def to_json(self) -> bytes:
        """Return its fields in order; `from_document` reads them, parsed again."""
        return sealed(self._fields()) if self._sealed is None else self._sealed

    def _fields(self) -> list[Any]:
        return [
            self.number, self.id, self.genes, self.encoding, self.generation, self.parents, self.operators,
            self.parameters, self.macs, self.proposed_at, self.state.value, self.metrics, self.errors, self.timings,
            [[a.key, a.size, a.sha256] for a in self.artifacts], self.environment, self.values, self.violation,
            self.failure, self.finished_at,
        ]  # fmt: skip

    @staticmethod
    def from_document(document: list[Any]) -> Candidate:
        """Read what `to_json` wrote, parsed again."""
        (
            number, id_, genes, encoding, generation, parents, operators, parameters, macs, proposed_at, state, metrics,
            errors, timings, artifacts, environment, values, violation, failure, finished_at,
        ) = document  # fmt: skip
        candidate = Candidate(
            number, id_, tuple(genes), encoding, generation, tuple(parents), tuple(operators), parameters, macs,
            proposed_at, CandidateState(state), metrics, errors, timings, [StoredArtifact(*a) for a in artifacts],
            environment, None if values is None else tuple(values), violation, failure, finished_at,
        )  # fmt: skip
        candidate.seal()
        return candidate


def rows(candidates: Sequence[Candidate]) -> list[bytes]:
    """Return each candidate as JSON. Straight from where it is written down: there may be tens of thousands."""
    return [candidate._sealed or candidate.to_json() for candidate in candidates]
