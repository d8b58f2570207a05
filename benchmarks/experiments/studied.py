"""What was found out about one network, kept as a file so that no sitting does it again."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from xnas_core.report.files import replace_file


class Study(BaseModel):
    """Measures of one network; None where one is undefined. `labels_curve`: share of wrong labels found, by percent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str
    encoding: str
    accuracy: float
    introspectability: float
    correlation: float | None
    rank_correlation: float | None
    activation_calibration: float | None
    softmax_calibration: float | None
    activation_ece: float
    softmax_ece: float
    mistakes_by_activation: float | None
    mistakes_by_softmax: float | None
    labels_by_activation: float | None
    labels_by_softmax: float | None
    labels_curve: tuple[float, ...]


def known_study(path: Path) -> Study | None:
    """Return a study that is there and whole."""
    try:
        return Study.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def keep_study(path: Path, study: Study) -> None:
    """Write a study, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, study.model_dump_json(indent=1).encode())
