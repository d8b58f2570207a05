"""Experiment (c): is an introspectable network easier to debug?

Networks of the two-objective searches are diagnosed on the test split, which no search has seen, and trained again with
a fifth of the training labels made wrong. Compared are the front members of highest and of lowest introspectability,
as published; and, since these differ in accuracy as well, rank correlations over networks spread over all values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.experiments.mislabels import WrongLabels, find_wrong_labels
from benchmarks.experiments.publishing import Cell, Series, Table, write_figure
from benchmarks.experiments.quality import TWO
from benchmarks.experiments.searching import search
from benchmarks.experiments.setting import PLAIN
from benchmarks.experiments.statistics import Floats, rank_correlation
from benchmarks.experiments.studied import Study, keep_study, known_study
from benchmarks.experiments.workshop import Trained, Workshop
from xnas_evaluator.diagnosis.calibration import calibrate
from xnas_evaluator.diagnosis.class_distances import compare, confusion_matrix
from xnas_evaluator.diagnosis.detection import detect
from xnas_evaluator.diagnosis.gather import Subject, gather
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings, distances_of

MEASURES: tuple[tuple[str, str], ...] = (
    ("correlation", "r of nearness and confusion"),
    ("rank_correlation", "rank r of nearness and confusion"),
    ("activation_calibration", "r of calibration, activations"),
    ("softmax_calibration", "r of calibration, softmax"),
    ("activation_ece", "ECE, activations"),
    ("softmax_ece", "ECE, softmax"),
    ("mistakes_by_activation", "AUC of mistakes, activations"),
    ("mistakes_by_softmax", "AUC of mistakes, softmax"),
    ("labels_by_activation", "AUC of wrong labels, activations"),
    ("labels_by_softmax", "AUC of wrong labels, softmax"),
)
"""Fields of a study by what they are called."""


def debugging(workshop: Workshop, folder: Path) -> None:
    """Diagnose networks of high and low introspectability."""
    chosen = groups(workshop)
    studies = {c.id: study(workshop, c) for group in chosen for c in group}
    _publish(workshop, folder, [[studies[c.id] for c in group] for group in chosen])


def groups(workshop: Workshop) -> tuple[Sequence[Trained], Sequence[Trained], Sequence[Trained]]:
    """Return the networks to diagnose: front members of high and of low introspectability, and a spread over all.

    Raises:
        SittingOverError: the sitting's time is used up.
    """
    searches = [search(workshop, TWO, seed) for seed in workshop.setting.seeds]
    front = _by_introspectability(candidate for found in searches for candidate in found.front)
    everyone = _by_introspectability(candidate for found in searches for candidate in found.candidates)
    each = max(1, workshop.setting.studied // 6)
    # Of a small front no network is in both groups.
    each = min(each, max(1, len(front) // 2))
    return front[-each:], front[:each], _spread(everyone, workshop.setting.studied)


def study(workshop: Workshop, candidate: Trained) -> Study:
    """Return what is found out about a network; kept, as everything that takes long.

    Raises:
        SittingOverError: the sitting's time is used up.
    """
    place = workshop.folder(PLAIN) / "studies" / f"{candidate.id}.json"
    found = known_study(place)
    if found is None:
        workshop.check_time()
        found = _diagnosed(workshop, candidate, find_wrong_labels(workshop, PLAIN, candidate))
        keep_study(place, found)
    return found


@torch.inference_mode()
def _diagnosed(workshop: Workshop, candidate: Trained, labels: WrongLabels) -> Study:
    data, numbers = workshop.data(PLAIN), workshop.arithmetic(PLAIN)
    settings = IntrospectabilitySettings()
    network = workshop.checkpoint(PLAIN, candidate).network.to(memory_format=numbers.memory_format)
    seen = gather(Subject(network, data, numbers, settings.layers), data.test, "predictedClass")
    distances = distances_of(seen.means.gram(settings.group_by)).numpy()
    classes = compare(distances, confusion_matrix(seen.labels, seen.predictions, len(data.class_names)))
    wrong = seen.labels != seen.predictions
    activation, softmax = (calibrate(values, ~wrong) for values in (seen.similarity, seen.confidence))
    found = [detect(values, wrong) for values in (seen.similarity, seen.confidence)]
    return Study(
        id=candidate.id,
        encoding=candidate.encoding,
        accuracy=float(1 - wrong.mean()),
        introspectability=candidate.metrics["introspectability"],
        correlation=classes.pearson,
        rank_correlation=classes.spearman,
        activation_calibration=activation.pearson,
        softmax_calibration=softmax.pearson,
        activation_ece=activation.error,
        softmax_ece=softmax.error,
        mistakes_by_activation=found[0].auc if found[0] else None,
        mistakes_by_softmax=found[1].auc if found[1] else None,
        labels_by_activation=labels.by_activation,
        labels_by_softmax=labels.by_softmax,
        labels_curve=labels.curve,
    )


def _by_introspectability(candidates: Iterable[Trained]) -> list[Trained]:
    """Return different candidates that have a value, least first."""
    known = {c.id: c for c in candidates if "introspectability" in c.metrics}
    return sorted(known.values(), key=lambda c: (c.metrics["introspectability"], c.id))


def _spread(ordered: Sequence[Trained], wanted: int) -> list[Trained]:
    """Return at most so many, evenly spread over the order, its ends among them."""
    if len(ordered) <= wanted:
        return list(ordered)
    return [ordered[round(k * (len(ordered) - 1) / (wanted - 1))] for k in range(wanted)]


def _mean(group: Sequence[Study], name: str) -> Cell:
    known = [value for one in group if (value := getattr(one, name)) is not None]
    return float(np.mean(known)) if known else None


def _publish(workshop: Workshop, folder: Path, groups: Sequence[Sequence[Study]]) -> None:
    high, low, spread = groups
    name = workshop.setting.name
    values = [one.introspectability for one in spread]
    rows: list[list[Cell]] = [
        [
            title,
            _mean(high, field),
            _mean(low, field),
            # With itself it says nothing.
            None if field == "introspectability" else rank_correlation(values, [getattr(o, field) for o in spread]),
        ]
        for field, title in (("introspectability", "introspectability"), ("accuracy", "test accuracy"), *MEASURES)
    ]
    columns = (
        "measure",
        f"high (mean of {len(high)})",
        f"low (mean of {len(low)})",
        "rank correlation with introspectability",
    )
    notes = [
        "Published (CIFAR-10, other networks): r of nearness and confusion .85 at high, .59 at low introspectability.",
        f"High and low: front members of {len(workshop.setting.seeds)} two-objective searches on {name}; the rank "
        f"correlations are over {len(spread)} networks spread evenly over all that were evaluated (95 % intervals).",
        "Everything but wrong labels is measured on the test split; wrong labels: 20 % of the training labels replaced "
        "by another class, the network trained on them.",
        f"{len(MEASURES) + 1} correlations are shown, none corrected for the others: of intervals where there is no "
        "relation, one in twenty leaves out 0. Accuracy differs with introspectability, so a correlation does not say "
        "to which of the two it is due.",
    ]
    Table(f"debugging-{name}", "What introspectability tells", columns, rows, notes).write(folder)
    fields = ("id", "encoding", "introspectability", "accuracy", *(field for field, _ in MEASURES))
    studied = list({one.id: one for group in groups for one in group}.values())
    each: list[list[Cell]] = [[getattr(one, field) for field in fields] for one in studied]
    Table(f"debugging-networks-{name}", "The networks that were diagnosed", fields, each).write(folder)
    write_figure(
        folder / f"debugging-{name}.svg",
        "Nearness of classes and confusion, by network",
        "introspectability",
        "correlation r",
        [Series("networks", *_pairs(spread, "correlation"), dots=True)],
    )
    curves = [
        Series(title, np.linspace(0.0, 1.0, 101), np.mean(known, axis=0))
        for title, group in (("high introspectability", high), ("low introspectability", low))
        if (known := [one.labels_curve for one in group if one.labels_curve])
    ]
    write_figure(
        folder / f"mislabels-{name}.svg",
        "Wrong labels found, 20 % of the training labels corrupted",
        "training samples looked at, farthest from their label's mean first",
        "wrong labels found",
        curves,
    )


def _pairs(studies: Sequence[Study], name: str) -> tuple[Floats, Floats]:
    known = [(one.introspectability, getattr(one, name)) for one in studies if getattr(one, name) is not None]
    table = np.array(known, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
