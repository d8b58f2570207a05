"""`diagnosis.json`: what a trained candidate's activations tell of its mistakes (Carmichael et al. 2023, section 4).

The evaluator writes it, the report reads it. Numbers are rounded to six figures; the tensors behind them lie whole in
`diagnosis.safetensors`. Bounded: at most MAX_SHOWN classes, PAIRS pairs of each kind and SUSPECTS suspects are in it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xnas_core.errors import IntegrityError

FORMAT: Literal["xnas-diagnosis/1"] = "xnas-diagnosis/1"
MAX_SHOWN = 20
"""Classes whose matrices are in the document; of more, those with the most mistakes."""
PAIRS = 8
SUSPECTS = 24
CURVE_POINTS = 101
"""Points of a detection curve: the lowest 0, 1 ... 100 % of the samples."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Samples(_Part):
    """How many samples of a split were used, and how many it has."""

    used: int
    of: int


class ClassPair(_Part):
    """Two classes: cosine distance of their mean activations (None: undefined), samples of one taken for the other."""

    first: int
    second: int
    distance: float | None
    mistakes: int


class Classes(_Part):
    """Class distances beside the folded confusion matrix.

    Attributes:
        shown: the classes of the two matrices, in their order.
        distances: cosine distance of each pair's class means; None where one is undefined.
        confusion: samples by true class (row) and predicted class (column).
        pearson, spearman: correlation of the negated distance with C + C^T over all pairs of all classes.
        pairs: how many pairs that were.
        nearest: pairs with the smallest distance, nearest first.
        most_confused: pairs with the most mistakes, most first.
    """

    shown: tuple[int, ...]
    distances: tuple[tuple[float | None, ...], ...]
    confusion: tuple[tuple[int, ...], ...]
    pearson: float | None
    spearman: float | None
    pairs: int
    nearest: tuple[ClassPair, ...]
    most_confused: tuple[ClassPair, ...]


class Bin(_Part):
    """Samples of one bin of confidence: how many, their mean confidence, the share that is classified correctly."""

    count: int
    confidence: float
    accuracy: float


class Calibration(_Part):
    """One confidence against accuracy. `bins`: those that hold samples, from the lowest; correlations are over them."""

    bins: tuple[Bin, ...]
    error: float
    pearson: float | None
    spearman: float | None


class Detection(_Part):
    """Flagged samples among those with the lowest confidence.

    Attributes:
        found: share of the flagged samples in the lowest 0, 1 ... 100 % of all.
        area: area under that curve.
        auc: probability that a flagged sample has less confidence than another (1/2: no better than chance).
        auc_error: its standard error.
    """

    found: Annotated[tuple[float, ...], Field(min_length=CURVE_POINTS, max_length=CURVE_POINTS)]
    area: float
    auc: float
    auc_error: float


class Mispredictions(_Part):
    """How well each confidence finds wrong predictions; None where all are right or all are wrong."""

    mistakes: int
    activation: Detection | None
    softmax: Detection | None


class Suspect(_Part):
    """A training sample that lies far from the mean of its own label.

    Attributes:
        position: in the training split.
        source: in the data set's training images as they came, before the split; None where that is not known.
        similarity: cosine similarity to the mean of its label.
        thumbnail: PNG in base64.
    """

    position: int
    source: int | None
    label: int
    predicted: int
    similarity: float
    thumbnail: Annotated[str, Field(max_length=2_600)]


class Plane(_Part):
    """Principal components of activations: a point a sample, its class, the share of variance of each axis."""

    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    predictions: tuple[int, ...]
    variance: tuple[float, float]


class Diagnosis(_Part):
    """All outputs for one candidate.

    Attributes:
        layers, group_by: as in the introspectability that the search measures.
        validation, training: the samples behind the figures; the plane's are a seeded part of the validation samples.
        blocks: names of the nodes whose class-mean heat maps are stored, from input to output.
    """

    format: Literal["xnas-diagnosis/1"] = FORMAT
    class_names: tuple[str, ...]
    layers: str
    group_by: str
    validation: Samples
    training: Samples
    classes: Classes
    activation_calibration: Calibration
    softmax_calibration: Calibration
    mispredictions: Mispredictions
    suspects: Annotated[tuple[Suspect, ...], Field(max_length=SUSPECTS)]
    plane: Plane
    blocks: tuple[str, ...]


def read_diagnosis(data: bytes, what: str) -> Diagnosis:
    """Return the document.

    Raises:
        IntegrityError: it is torn, or of a version that this one does not read; `what` names it.
    """
    try:
        return Diagnosis.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{what} is torn or of another version ({place}: {first['msg']})") from error
