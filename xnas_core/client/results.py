"""What only the SDK makes of answers: a whole front, tables for pandas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import XnasError
from xnas_core.search.view import CandidateRecord, HypervolumePoint

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CandidateTable:
    """Candidates and the spec that names their objectives: what tables are made from."""

    candidates: tuple[CandidateRecord, ...]
    spec: ArchitectureSearchSpec

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with the columns of candidates.parquet; what is unknown is missing, never 0.

        Raises:
            XnasError: pandas or pyarrow is not installed.
        """
        try:
            import pandas  # noqa: F401  (pyarrow needs it, and says so less clearly)
            import pyarrow as pa

            from xnas_core.report.tables import columns
        except ImportError as error:
            raise XnasError(f"a data frame takes pandas and pyarrow ({error}); install xnas[client]") from error
        chosen = columns(self)
        arrays = [pa.array([c.value(candidate) for candidate in self.candidates], c.type) for c in chosen]
        frame: pd.DataFrame = pa.Table.from_arrays(arrays, names=[c.name for c in chosen]).to_pandas()
        return frame


@dataclass(frozen=True)
class Front:
    """The Pareto front.

    Attributes:
        members: best first objective first.
        spec: of the search; its objectives are those of `CandidateRecord.objectives`, in the same order.
        hypervolume: of the whole front.
        reference_point: in the objectives' own sign; None until known.
        evaluations: finished candidates that it is the front of.
        history: hypervolume after each of them; empty unless asked for.
    """

    members: tuple[CandidateRecord, ...]
    spec: ArchitectureSearchSpec
    hypervolume: float
    reference_point: tuple[float, ...] | None
    evaluations: int
    history: Sequence[HypervolumePoint] = ()

    def to_pandas(self) -> pd.DataFrame:
        """Return the members as `CandidateTable.to_pandas` does."""
        return CandidateTable(self.members, self.spec).to_pandas()
