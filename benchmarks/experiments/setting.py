"""What an experiment runs on: data, network sizes and budgets. A variant is one way to train and measure candidates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.spaces.base import DataShape
from xnas_core.spaces.nas_bench_201 import NasBench201

VERSION = 1
"""Of what is measured on a candidate; another number makes all candidates be trained anew."""
SPLIT_SEED = 1
"""Of the validation split and of all training seeds: the same in every search, so that searches share candidates."""


@dataclass(frozen=True)
class Setting:
    """Data, sizes and budgets.

    Attributes:
        dataset, training: parts of a spec.
        cells_per_stage, channels: of nas-bench-201's network.
        population, evaluations: of each search.
        seeds: of each arm's searches.
        studied: how many networks are diagnosed and trained again on corrupted labels.
        seconds: what training and measuring a candidate took on one core of the machine that the results name, for
            estimates only.
    """

    name: str
    dataset: Mapping[str, Any]
    training: Mapping[str, Any]
    shape: DataShape
    cells_per_stage: int
    channels: int
    population: int
    evaluations: int
    seeds: tuple[int, ...]
    studied: int
    seconds: float


@dataclass(frozen=True)
class Variant:
    """How candidates are trained and measured.

    Attributes:
        regulariser: weight of the introspectability regulariser.
        prune: whether networks are reduced to what reaches the output.
    """

    regulariser: float = 0.0
    prune: bool = True


PLAIN, REGULARISED, UNPRUNED = Variant(), Variant(regulariser=0.5), Variant(prune=False)
PRESSED = Variant(regulariser=0.5, prune=False)
"""The regulariser separates futile activations at no cost in accuracy: the likeliest way to game the metric."""

_SGD = {"name": "sgd", "learningRate": 0.1, "momentum": 0.9, "nesterov": True, "weightDecay": 0.0005}
SETTINGS: Mapping[str, Setting] = {
    "fashion": Setting(
        "fashion",
        {"name": "fashion-mnist", "validationFraction": 0.025, "trainingFraction": 0.04},
        {"epochs": 3, "batchSize": 64, "threads": 1, "optimizer": _SGD},
        DataShape(1, 28, 28, 10),
        cells_per_stage=1,
        channels=4,
        population=12,
        evaluations=60,
        seeds=(1, 2, 3, 4, 5),
        studied=24,
        seconds=3.0,
    ),
    "digits": Setting(
        "digits",
        {"name": "digits", "validationFraction": 0.2},
        {"epochs": 6, "batchSize": 64, "threads": 1, "optimizer": _SGD},
        DataShape(1, 8, 8, 10),
        cells_per_stage=1,
        channels=4,
        population=12,
        evaluations=60,
        seeds=(1, 2, 3, 4, 5),
        studied=24,
        seconds=1.5,
    ),
    "tiny": Setting(
        "tiny",
        {"name": "digits", "validationFraction": 0.3, "trainingFraction": 0.2},
        {"epochs": 1, "batchSize": 64, "threads": 1, "optimizer": _SGD},
        DataShape(1, 8, 8, 10),
        cells_per_stage=1,
        channels=2,
        population=3,
        evaluations=4,
        seeds=(1, 2),
        studied=4,
        seconds=0.2,
    ),
}


def space(setting: Setting, variant: Variant) -> NasBench201:
    """Return the search space."""
    return NasBench201(_parameters(setting, variant), setting.shape)


def document(setting: Setting, variant: Variant) -> dict[str, Any]:
    """Return the spec's parts that decide what a candidate's training gives; every arm of a search has these."""
    training = dict(setting.training)
    if variant.regulariser:
        training["introspectabilityRegularizer"] = {"weight": variant.regulariser}
    guarded = () if variant.prune else ({"name": "introspectability_live"}, {"name": "futile_share"})
    return {
        "seed": SPLIT_SEED,
        "searchSpace": {"name": "nas-bench-201", "parameters": _parameters(setting, variant)},
        "dataset": dict(setting.dataset),
        "training": training,
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "introspectability", "direction": "maximize", "reference": 0.0},
        ],
        **({"metrics": list(guarded)} if guarded else {}),
    }


def spec(setting: Setting, variant: Variant) -> ArchitectureSearchSpec:
    """Return the spec under which candidates are trained."""
    return ArchitectureSearchSpec.model_validate(document(setting, variant), strict=False)


def digest(setting: Setting, variant: Variant) -> str:
    """Return what changes when a candidate's training or measuring does."""
    text = json.dumps([VERSION, spec(setting, variant).to_document()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parameters(setting: Setting, variant: Variant) -> dict[str, Any]:
    return {"cellsPerStage": setting.cells_per_stage, "channels": setting.channels, "prune": variant.prune}
