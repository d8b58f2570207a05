"""The commented search.yaml that `xnas init` writes.

Only what a person is likely to change is written out; every comment says what else is possible.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xnas_core.api.base import API_VERSION, KIND
from xnas_core.api.spec import Direction
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS

STATIC = frozenset(name for name, metric in METRICS.items() if metric.static)


@dataclass(frozen=True, slots=True)
class Training:
    """Settings that suit a data set: a few minutes on a laptop for the small ones."""

    epochs: int
    batch_size: int
    augmentation: tuple[str, ...]
    validation_fraction: float = 0.1
    training_fraction: float = 1.0


_TRAINING = {
    "digits": Training(6, 64, (), 0.2),
    "lines": Training(2, 64, ()),
    "mnist": Training(3, 64, (), training_fraction=0.15),
    "fashion-mnist": Training(3, 64, ("flip",), training_fraction=0.15),
    "cifar10": Training(12, 256, ("crop", "flip", "cutout")),
}
_OTHER = Training(12, 128, ("flip",))
_SPACES = {
    "nas-bench-201": (
        "{cellsPerStage: 1, channels: 8}  # as published: cellsPerStage: 5, channels: 16",
        "cells of 6 edges, 5 operations each: 15,625 encodings",
    ),
    "mobile": (
        "{stages: 2, stemChannels: 8}  # 2 to 5 stages; depths, widths, kernels, expansions",
        "inverted residual stages: depth, width, kernel, expansion, squeeze-excitation",
    ),
}


@dataclass(frozen=True, slots=True)
class ObjectiveChoice:
    """An objective that was asked for."""

    name: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Choices:
    """The answers that a search.yaml is made from.

    Attributes:
        name: metadata.name.
        space: a search space.
        dataset: name of a data set, or path of one's own (class folders, npz file, folder of IDX files); None: no data.
        table: benchmark table in place of data, or None.
        objectives: one to eight.
        evaluations: limits.maxEvaluations.
        population: algorithm.populationSize.
        seed: every random choice follows from it.
    """

    name: str
    space: str
    dataset: str | None
    table: str | None
    objectives: tuple[ObjectiveChoice, ...]
    evaluations: int
    population: int
    seed: int


def default_population(evaluations: int) -> int:
    """Return a population for a budget: about a quarter of it, so that there are generations, between 4 and 64."""
    return max(4, min(64, evaluations // 4)) if evaluations >= 8 else max(2, evaluations)


def default_objectives(dataset: str | None, table: str | None) -> tuple[str, ...]:
    """Return the objectives that are offered first; none can be guessed for a table."""
    if table is not None:
        return ()
    return ("accuracy", "introspectability") if dataset is not None else ("parameters", "macs")


def parse_objective(text: str) -> ObjectiveChoice:
    """Read "accuracy" or "c10_test_200:maximize".

    Raises:
        InvalidInputError: the direction is missing and cannot be known, or is no direction.
    """
    name, colon, direction = text.partition(":")
    if colon:
        try:
            return ObjectiveChoice(name, Direction(direction))
        except ValueError:
            raise InvalidInputError(
                f"objective {text!r}: the direction must be maximize or minimize, not {direction!r}"
            ) from None
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, 1)
        if near:
            raise InvalidInputError(f"there is no objective {name!r}; did you mean {near[0]!r}?")
        raise InvalidInputError(
            f"objective {name!r} needs a direction: write {name}:maximize or {name}:minimize "
            f"(only {', '.join(METRICS)} have one of their own)"
        )
    return ObjectiveChoice(name, METRICS[name].direction)


def name_from(path: Path) -> str:
    """Return a valid metadata.name made from a file's name."""
    plain = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:63].strip("-")
    return plain or "search"


def render(choices: Choices) -> str:
    """Return the text of the file."""
    return "\n".join((*_head(choices), *_subject(choices), *_rest(choices), ""))


def _head(choices: Choices) -> list[str]:
    parameters, about = _SPACES.get(choices.space, ("{}", "a plug-in; its page says what parameters it takes"))
    return [
        "# A search for networks. Next: `xnas validate`, `xnas plan` and `xnas run FILE --output DIR`.",
        "# Every field, its default and bounds: docs/reference/architecturesearch.md",
        f"apiVersion: {API_VERSION}",
        f"kind: {KIND}",
        "metadata:",
        f"  name: {_scalar(choices.name)}",
        "spec:",
        "  # Every random choice follows from the seed: the same file gives the same search.",
        f"  seed: {choices.seed}",
        "",
        f"  # {about}",
        "  searchSpace:",
        f"    name: {choices.space}",
        f"    parameters: {parameters}",
        "",
    ]


def _subject(choices: Choices) -> list[str]:
    if choices.table is not None:
        return [
            "  # A table answers in place of training: seconds, not hours. Paths start at this file's folder.",
            "  benchmark:",
            f"    table: {_scalar(choices.table)}",
            "    key: arch                # column with the architecture",
            "",
        ]
    if choices.dataset is None:
        return ["  # No data: every objective below comes from the graph alone, nothing is trained.", ""]
    training = _TRAINING.get(choices.dataset, _OTHER)
    augmentation = f"[{', '.join(training.augmentation)}]"
    return [
        *_dataset(choices.dataset),
        f"    validationFraction: {training.validation_fraction}  # of the training images, to score candidates on",
        *_training_fraction(training),
        "",
        "  training:",
        f"    epochs: {training.epochs}",
        f"    batchSize: {training.batch_size}",
        "    optimizer: {name: sgd, learningRate: 0.1, momentum: 0.9, weightDecay: 0.0005}  # or adam, adamw",
        "    schedule: {name: cosine, warmupEpochs: 0.5}",
        f"    augmentation: {augmentation:<10} # any of crop, flip, cutout",
        "    # Teaches the networks to tell classes apart in every layer:",
        "    # introspectabilityRegularizer: {weight: 0.5}",
        "",
    ]


def _training_fraction(training: Training) -> list[str]:
    if training.training_fraction == 1:
        return []
    return [
        f"    trainingFraction: {training.training_fraction}   # of the others; 1 trains better networks, and longer"
    ]


def _dataset(dataset: str) -> list[str]:
    if dataset in _TRAINING or not _looks_like_path(dataset):
        where = (
            []
            if dataset in ("digits", "lines")
            else ["    # path: FOLDER           # else XNAS_DATA, then system folders"]
        )
        return [
            "  # digits and lines need no files; mnist, fashion-mnist, cifar10; or `source` with data of your own",
            "  dataset:",
            f"    name: {dataset}",
            *where,
        ]
    return [
        "  # Data of your own: imageFolder (train/CLASS/*.png), npz (x_train, y_train) or idx (MNIST's layout).",
        "  # Paths start at this file's folder.",
        "  dataset:",
        f"    source: {{{_source_kind(dataset)}: {_scalar(dataset)}}}",
    ]


def _source_kind(dataset: str) -> str:
    path = Path(dataset).expanduser()
    if path.suffix == ".npz":
        return "npz"
    return "idx" if any(path.glob("*-ubyte*")) else "imageFolder"


def _looks_like_path(dataset: str) -> bool:
    return "/" in dataset or "\\" in dataset or dataset.endswith(".npz") or Path(dataset).expanduser().is_dir()


def _rest(choices: Choices) -> list[str]:
    lines = [
        "  # What is searched for; two or more give a front. Built in:",
        *(f"  #   {line}" for line in _wrapped([f"{name} ({m.direction.value})" for name, m in METRICS.items()], 90)),
        "  objectives:",
    ]
    for objective in choices.objectives:
        extra = ", parameters: {groupBy: predictedClass}" if objective.name == "introspectability" else ""
        lines.append(f"    - {{name: {_scalar(objective.name)}, direction: {objective.direction.value}{extra}}}")
    lines += [
        "",
        "  # Bounds on parameters and macs keep a network from being proposed at all.",
        "  # constraints:",
        "  #   - {metric: parameters, max: 1000000}",
        "",
        "  algorithm:",
        "    name: nsga2              # or random, regularizedEvolution",
        "    mode: generational       # steadyState keeps every slot busy, but depends on the order of results",
        f"    populationSize: {choices.population}",
        "",
        "  # May be changed while the search runs: stop it, change them, run the same command again.",
        "  limits:",
        f"    maxEvaluations: {choices.evaluations}",
        "    # activeDeadlineSeconds: 3600",
        "    # stagnation: {generations: 10, tolerance: 0.001}",
    ]
    if choices.dataset is not None:
        lines += [
            "",
            "  # How many candidates this machine trains side by side; they share its cores.",
            "  evaluators:",
            "    slotsPerEvaluator: 2",
            "",
            "  # Pictures of what the networks on the front look at.",
            "  explanations:",
            "    methods: [integratedGradients, saliency, gradCam]",
            "    samplesPerClass: 1",
            "    scope: front             # or all, none",
        ]
    return lines


def _wrapped(words: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}, {word}" if lines[-1] else word
        if len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _scalar(text: str) -> str:
    """Return the text as a YAML scalar, quoted (as JSON) unless plain letters, digits, '.', '_', '/' and '-'."""
    plain = re.fullmatch(r"[A-Za-z_/][A-Za-z0-9._/-]*", text)
    reserved = text.lower() in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    return text if plain and not reserved else json.dumps(text)
