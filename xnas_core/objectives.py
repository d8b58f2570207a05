"""Metrics and objectives: names, directions, units, the one sign rule, constraints, hypervolume reference.

The sign rule: the engine minimises. `to_minimise` is the only place where a direction becomes a sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xnas_core.api.spec import ArchitectureSearchSpec, Direction


@dataclass(frozen=True, slots=True)
class Metric:
    """A quantity that is recorded for a candidate.

    Attributes:
        name: its name in results, tables and constraints.
        direction: which way is better.
        unit: "1" for a pure number.
        static: computed from the graph, before training.
        measures_time: differs between two runs, so the promise (protocol.md §1) excludes it.
        reference: default hypervolume reference value; None: taken from the data (`accuracy`: 1 / classes) or
            from the first population's worst value.
        description: one sentence, for reports and docs.
        on_request: it costs extra, so it is measured only where a search names it.
    """

    name: str
    direction: Direction
    unit: str
    static: bool
    measures_time: bool
    reference: float | None
    description: str
    on_request: bool = False


def _metric(
    name: str,
    direction: Direction,
    unit: str,
    reference: float | None,
    description: str,
    *,
    static: bool = False,
    measures_time: bool = False,
    on_request: bool = False,
) -> tuple[str, Metric]:
    return name, Metric(name, direction, unit, static, measures_time, reference, description, on_request)


def _asked(
    name: str, direction: Direction, reference: float | None, description: str, unit: str = "1"
) -> tuple[str, Metric]:
    return _metric(name, direction, unit, reference, description, on_request=True)


_UP, _DOWN = Direction.MAXIMIZE, Direction.MINIMIZE

METRICS: Mapping[str, Metric] = dict(
    (
        _metric("accuracy", _UP, "1", None, "Share of validation samples classified correctly."),
        _metric("loss", _DOWN, "nat", None, "Mean cross-entropy over the validation split."),
        _metric(
            "introspectability",
            _UP,
            "1",
            0.0,
            "Mean cosine distance between class-mean activations (Carmichael et al. 2023).",
        ),
        _metric("parameters", _DOWN, "1", None, "Trainable parameters.", static=True),
        _metric("macs", _DOWN, "1", None, "Multiply-accumulates of one forward pass of one sample.", static=True),
        _metric("latency_ms", _DOWN, "ms", None, "Median time of one forward pass of one batch.", measures_time=True),
        _metric("train_seconds", _DOWN, "s", None, "Time to train, all attempts together.", measures_time=True),
        _metric("generalization_gap", _DOWN, "1", None, "Training accuracy minus validation accuracy, after training."),
        _asked(
            "introspectability_weighted",
            _UP,
            0.0,
            "Introspectability in which pairs of similar classes count more (Carmichael et al. 2023).",
        ),
        _asked(
            "introspectability_live",
            _UP,
            0.0,
            "Introspectability of the activations that the class scores depend on, found by ablation.",
        ),
        _asked(
            "futile_share",
            _DOWN,
            1.0,
            "Share of the introspectability owed to activations that the class scores do not depend on.",
        ),
        _asked(
            "infidelity",
            _DOWN,
            1.0,
            "How badly attributions predict what perturbations do to the class score (Yeh et al. 2019).",
        ),
        _asked(
            "max_sensitivity",
            _DOWN,
            1.0,
            "Largest relative change of attributions under tiny changes of the image (Yeh et al. 2019).",
        ),
        _asked("sparsity", _UP, 0.0, "Gini index of absolute attributions (Chalasani et al. 2020)."),
        _asked(
            "explainer_agreement",
            _UP,
            0.0,
            "Mean rank correlation of two explainers' attributions (Krishna et al. 2022).",
        ),
        _asked(
            "completeness_error",
            _DOWN,
            1.0,
            "Relative gap between summed attributions and the score they should sum to (Sundararajan et al. 2017).",
        ),
        _asked(
            "randomization_sanity",
            _DOWN,
            1.0,
            "Size of the rank correlation of attributions before and after randomising weights (Adebayo et al. 2018).",
        ),
        _asked(
            "expected_calibration_error",
            _DOWN,
            1.0,
            "Mean distance between softmax confidence and accuracy, by confidence (Guo et al. 2017).",
        ),
        _asked(
            "activation_calibration",
            _UP,
            0.0,
            "Correlation of accuracy with similarity to the predicted class's mean (Carmichael et al. 2023).",
        ),
        _asked(
            "adversarial_accuracy", _UP, 0.0, "Accuracy on images changed by one FGSM step (Goodfellow et al. 2015)."
        ),
    )
)
"""Built-in metrics. Plug-in objectives declare theirs (entry-point group `xnas.objectives`)."""

DIAGNOSED: Mapping[str, Metric] = dict(
    (
        _metric(
            "distance_confusion_correlation",
            _UP,
            "1",
            None,
            "Correlation over class pairs: the nearer two class means, the more mistakes (Carmichael et al. 2023).",
        ),
        _metric(
            "misprediction_auc",
            _UP,
            "1",
            None,
            "Probability that a mistake is less similar to its predicted class's mean than a right prediction is.",
        ),
        _metric(
            "misprediction_auc_softmax",
            _UP,
            "1",
            None,
            "Probability that a mistake has a smaller softmax probability than a right prediction has.",
        ),
        _metric(
            "activation_ece",
            _DOWN,
            "1",
            None,
            "Expected calibration error, 50 bins, of similarity to the predicted class's mean (Guo et al. 2017).",
        ),
        _metric(
            "softmax_ece",
            _DOWN,
            "1",
            None,
            "Expected calibration error, 50 bins, of the softmax probability (Guo et al. 2017).",
        ),
        _metric(
            "activation_calibration_correlation",
            _UP,
            "1",
            None,
            "Correlation of similarity to the predicted class's mean with accuracy, over 50 bins.",
        ),
        _metric(
            "softmax_calibration_correlation",
            _UP,
            "1",
            None,
            "Correlation of softmax probability with accuracy, over 50 bins.",
        ),
    )
)
"""What diagnosing a trained candidate adds to its metrics: after the search, so none can be an objective of it."""


def always_recorded(name: str) -> bool:
    """Return whether every evaluator measures it for every candidate."""
    return name in METRICS and not METRICS[name].on_request


FUTILE = "futile_share"
"""Accompanies `introspectability` where a space is not pruned; `futile_share_<name>` other values of it."""


def futile_share_of(name: str) -> str:
    """Return the name under which the futile share of an introspectability value is recorded."""
    return FUTILE if name == "introspectability" else f"{FUTILE}_{name}"


def meaning(name: str, metrics: Mapping[str, str] | None = None) -> Metric | None:
    """Return the built-in metric that a recorded name stands for, or None.

    Args:
        name: as in a candidate's metrics: a metric's name, one from the spec, or one that is derived from these
            (`test_<metric>`, `introspectability_true_class`, `futile_share_<name>`).
        metrics: metric by name of the spec's objectives and metrics (`spec_metrics`).
    """
    known = METRICS.get((metrics or {}).get(name, name)) or DIAGNOSED.get(name)
    if known is not None:
        return known
    if name in ("introspectability_true_class", "introspectability_predicted_class"):
        return METRICS["introspectability"]
    if name.startswith(f"{FUTILE}_"):
        return METRICS[FUTILE]
    return METRICS.get(name.removeprefix("test_"))


def spec_metrics(spec: ArchitectureSearchSpec) -> dict[str, str]:
    """Return the metric of each name that a spec gives: of objectives and of further metrics."""
    further = {item.name: item.metric_name for item in spec.metrics}
    return further | {item.name: item.metric_name for item in spec.objectives}


def to_minimise(value: float, direction: Direction) -> float:
    """Return the value with the sign under which smaller is better."""
    return -value if direction is Direction.MAXIMIZE else value
