"""Several searches put side by side: the same spec with other seeds is one arm of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xnas_core.analysis.significance import Floats
from xnas_core.analysis.volumes import common_reference, volumes
from xnas_core.api.change import spec_digest
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS, to_minimise
from xnas_core.search.acceptance import judged_explainers
from xnas_core.search.view import CandidateRecord, CandidateState, SearchView

WITHOUT_EFFECT = (
    "seed", "limits", "evaluators", "suspend", "backoffLimit", "ttlSecondsAfterFinished", "artifacts", "explanations",
    "confirmation",
)  # fmt: skip
"""Fields of a spec that do not set arms apart: seeds, when to stop, where to run, what to make of the result."""


@dataclass(frozen=True)
class Trial:
    """One search of a comparison.

    Attributes:
        label: what the user calls it.
        volumes: hypervolume after each finished evaluation, with the comparison's reference point.
    """

    label: str
    view: SearchView
    volumes: Floats

    @property
    def seed(self) -> int:
        """The spec's seed."""
        return self.view.spec.seed

    @property
    def evaluations(self) -> int:
        """Finished evaluations."""
        return len(self.volumes)

    def best(self, objective: int) -> float | None:
        """Return the best value of an objective among feasible candidates."""
        way = self.view.spec.objectives[objective].direction
        known = [v for c in self._scored if not c.violation and (v := c.objectives[objective]) is not None]
        return min(known, key=lambda value: to_minimise(value, way)) if known else None

    def median(self, objective: int) -> float | None:
        """Return the median of an objective over all scored candidates."""
        known = [v for c in self._scored if (v := c.objectives[objective]) is not None]
        return float(np.median(known)) if known else None

    @property
    def _scored(self) -> list[CandidateRecord]:
        return [c for c in self.view.candidates if c.state is CandidateState.SUCCEEDED]


@dataclass(frozen=True)
class Arm:
    """Searches of one spec.

    Attributes:
        letter: "A", "B", ... as in plots and tables.
        differs: the fields that set it apart from the other arms, with their values here.
        trials: by seed.
    """

    letter: str
    differs: tuple[tuple[str, str], ...]
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """What sets it apart, or the name of the search where nothing does."""
        return ", ".join(f"{path} {value}" for path, value in self.differs) or self.trials[0].view.name

    @property
    def evaluations(self) -> int:
        """Evaluations that every search of the arm has."""
        return min(trial.evaluations for trial in self.trials)

    @cached_property
    def volumes(self) -> Floats:
        """(searches, evaluations) hypervolumes, as far as every search goes."""
        return np.stack([trial.volumes[: self.evaluations] for trial in self.trials])


@dataclass(frozen=True)
class Comparison:
    """Arms with what they have in common.

    Attributes:
        reference: hypervolume reference point, in the objectives' own sign; None where no search has one yet.
        budget: evaluations that every search has.
        remarks: differences that a reader should know of, as sentences.
    """

    arms: tuple[Arm, ...]
    reference: tuple[float, ...] | None
    budget: int
    remarks: tuple[str, ...]

    @property
    def views(self) -> tuple[SearchView, ...]:
        """All searches."""
        return tuple(trial.view for arm in self.arms for trial in arm.trials)


def compare(searches: Sequence[tuple[str, SearchView]]) -> Comparison:
    """Put searches into arms and measure all with one reference point.

    Args:
        searches: what the user calls each, and the search.

    Raises:
        InvalidInputError: fewer than two, one given twice, or their objectives differ.
    """
    if len(searches) < 2:
        raise InvalidInputError("there is nothing to compare; give the output folders of at least two searches")
    _check_distinct(searches)
    _check_objectives(searches)
    views = [view for _, view in searches]
    reference = common_reference(views)
    groups: dict[str, list[Trial]] = {}
    documents: dict[str, Mapping[str, Any]] = {}
    for label, view in searches:
        document = {k: v for k, v in view.spec.to_document().items() if k not in WITHOUT_EFFECT}
        # Reference values only decide how the front is measured, and here all are measured alike.
        document["objectives"] = [{k: v for k, v in o.items() if k != "reference"} for o in document["objectives"]]
        document["explainers"] = _with_effect(view.spec, document["explainers"])
        key = spec_digest(document)
        documents[key] = document
        found = volumes(view, reference) if reference is not None else np.zeros(_finished(view))
        groups.setdefault(key, []).append(Trial(label, view, found))
    differing = _differing(list(documents.values()))
    arms = tuple(
        Arm(
            _letter(place),
            _described(documents[key], differing),
            tuple(sorted(trials, key=lambda t: (t.seed, t.label))),
        )
        for place, (key, trials) in enumerate(groups.items())
    )
    budget = min(arm.evaluations for arm in arms)
    return Comparison(arms, reference, budget, tuple(_remarks(arms)))


def _with_effect(spec: ArchitectureSearchSpec, explainers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the explainers whose parameters values depend on; a plug-in's metric may use any."""
    measured = {*(o.metric_name for o in spec.objectives), *(m.metric_name for m in spec.metrics)}
    if not METRICS.keys() >= measured:
        return explainers
    return [item for item in explainers if item["name"] in judged_explainers(spec)]


def _finished(view: SearchView) -> int:
    return sum(c.state in (CandidateState.SUCCEEDED, CandidateState.FAILED) for c in view.candidates)


def _check_distinct(searches: Sequence[tuple[str, SearchView]]) -> None:
    seen: dict[str, str] = {}
    for label, view in searches:
        if view.search_id in seen:
            raise InvalidInputError(f"{seen[view.search_id]} and {label} are the same search; give each search once")
        seen[view.search_id] = label


def _check_objectives(searches: Sequence[tuple[str, SearchView]]) -> None:
    def said(view: SearchView) -> list[tuple[str, str, str, str]]:
        return [
            (o.name, o.direction.value, o.metric_name, json.dumps(o.parameters, sort_keys=True))
            for o in view.spec.objectives
        ]

    first, wanted = searches[0][0], said(searches[0][1])
    for label, view in searches[1:]:
        if said(view) != wanted:
            ours, theirs = (
                ", ".join(f"{name} ({metric}, {way}{'' if p == '{}' else f', {p}'})" for name, way, metric, p in rows)
                for rows in (wanted, said(view))
            )
            raise InvalidInputError(
                f"searches with different objectives cannot be compared: {first} has {ours}; {label} has {theirs}"
            )


def _letter(place: int) -> str:
    return (_letter(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Return the leaves of a document as text by path; an empty list or mapping is a leaf."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{path}.{key}" if path else key, child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, Mapping | list) for child in value):
        children = [(f"{path}[{place}]", child) for place, child in enumerate(value)]
    if not children:
        return {path: value if isinstance(value, str) else json.dumps(value)}
    return {name: text for below, child in children for name, text in _flat(child, below).items()}


def _differing(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    flat = [_flat(document) for document in documents]
    paths = dict.fromkeys(path for document in flat for path in document)
    return [path for path in paths if len({document.get(path) for document in flat}) > 1]


def _described(document: Mapping[str, Any], paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
    flat = _flat(document)
    return tuple((path, flat[path]) for path in paths if path in flat)


def _remarks(arms: Sequence[Arm]) -> list[str]:
    trials = [trial for arm in arms for trial in arm.trials]
    remarks = []
    unfinished = [trial.label for trial in trials if trial.view.state != "Complete"]
    if unfinished:
        remarks.append(f"Not complete yet: {', '.join(unfinished)}.")
    for what in ("data", "xnas", "torch"):
        found = {trial.view.versions[what] for trial in trials if what in trial.view.versions}
        if len(found) > 1:
            remarks.append(
                "The searches did not have the same data (their SHA-256 differ)."
                if what == "data"
                else f"The searches ran with different versions of {what}: {', '.join(sorted(found))}."
            )
    for arm in arms:
        seeds = [trial.seed for trial in arm.trials]
        if len(set(seeds)) < len(seeds):
            remarks.append(f"Arm {arm.letter} has searches with the same seed: they are no independent repetitions.")
    return remarks
