"""`refinement.json`: a trained network before and after some epochs that pull pairs of classes apart.

The case study of Carmichael et al. 2023. The evaluator writes it; command line and reports read it. Measured on the
validation split. Bounded as `diagnosis.json` is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from xnas_core.diagnosis import Classes
from xnas_core.errors import IntegrityError

FORMAT: Literal["xnas-refinement/1"] = "xnas-refinement/1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PairState(_Part):
    """One of the pairs at one moment.

    Attributes:
        distance: cosine distance of the two classes' mean activations; None where it is undefined.
        first_as_second, second_as_first: samples of one class that were taken for the other.
    """

    distance: float | None
    first_as_second: int
    second_as_first: int


class RefinedPair(_Part):
    """A pair of classes, by number, and the weight of its similarity where other pairs have 1."""

    first: int
    second: int
    weight: float
    before: PairState
    after: PairState


class NetworkState(_Part):
    """The network at one moment.

    Attributes:
        accuracy_error, loss_error: standard errors.
        introspectability: as the search measures it; None where it is undefined.
        classes: class distances and confusion matrix.
    """

    accuracy: float
    accuracy_error: float
    loss: float
    loss_error: float
    introspectability: float | None
    classes: Classes


class Refinement(_Part):
    """The document.

    Attributes:
        class_names: of all classes, in order.
        layers, group_by: of introspectability, distances and their means, as the search has them.
        regularizer_weight: of the regulariser as a whole.
        samples: of the validation split.
    """

    format: Literal["xnas-refinement/1"] = FORMAT
    class_names: tuple[str, ...]
    layers: str
    group_by: str
    epochs: int
    learning_rate: float
    regularizer_weight: float
    samples: int
    pairs: tuple[RefinedPair, ...]
    before: NetworkState
    after: NetworkState


def read(data: bytes) -> Refinement:
    """Read what an attempt stored.

    Raises:
        IntegrityError: it is torn, altered or of another version.
    """
    try:
        return Refinement.model_validate_json(data)
    except ValidationError as error:
        text = f"refinement.json is torn, or of another version ({error.error_count()} faults)"
        raise IntegrityError(text) from error
