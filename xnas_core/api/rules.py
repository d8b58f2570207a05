"""The rules that go beyond types and bounds, each held once: as CEL for the API server and as a Python predicate.

Both see a document with defaults applied and nulls left out. `tests/api/test_rules.py` runs the same examples over
the predicates that a real API server runs over the CEL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xnas_core import s3_address
from xnas_core.api.model_tree import aliases, as_model
from xnas_core.api.spec import MUTABLE_FIELDS, ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError

STATIC_METRICS = ("macs", "parameters")
"""Metrics that the graph alone gives. A test holds it equal to `objectives.METRICS`."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about one value.

    Attributes:
        path: the value the rule is attached to; `[]` for each item of a list ("spec.objectives[]").
        field: the field of that value that the rule is about, for pointing at a line; "" for the value itself.
        reads: the fields below `path` that decide; the rule is left out where one of them has a mistake already.
        cel: the rule as CEL; `self` is the value.
        message: what would be right, as a sentence for people.
        holds: the rule in Python.
        presence: only whether fields are there decides, so mistakes in their values are no hindrance.
    """

    path: str
    field: str
    reads: tuple[str, ...]
    cel: str
    message: str
    holds: Callable[[Any], bool]
    presence: bool = False


def _only_one(*names: str) -> tuple[str, Callable[[Document], bool]]:
    cel = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names) + " == 1"
    return cel, lambda value: sum(name in value for name in names) == 1


def _is_address(text: str) -> bool:
    try:
        s3_address.S3Address.parse(text)
    except InvalidInputError:
        return False
    return True


def _unique(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)


def _metric(objective: Document) -> Any:
    return objective.get("metric", objective["name"])


def _static_only(spec: Document) -> bool:
    known = {*STATIC_METRICS, *(objective["name"] for objective in spec["objectives"])}
    return all(_metric(objective) in STATIC_METRICS for objective in spec["objectives"]) and all(
        constraint["metric"] in known for constraint in spec["constraints"]
    )


_STATIC_CEL = "[" + ", ".join(f"'{name}'" for name in STATIC_METRICS) + "]"
_STATIC_ONLY_CEL = (
    f"(self.objectives.all(o, (has(o.metric) ? o.metric : o.name) in {_STATIC_CEL})"
    f" && self.constraints.all(c, c.metric in {_STATIC_CEL} || self.objectives.exists(o, o.name == c.metric)))"
)
_SOURCES = _only_one("idx", "imageFolder", "npz")
_ENDS = ("maxEvaluations", "maxGenerations", "activeDeadlineSeconds", "stagnation")

RULES: tuple[Rule, ...] = (
    Rule(
        "spec",
        "dataset",
        ("dataset", "benchmark"),
        "!(has(self.dataset) && has(self.benchmark))",
        "dataset and benchmark exclude each other: a table answers instead of training; remove one of them",
        lambda spec: not ("dataset" in spec and "benchmark" in spec),
        presence=True,
    ),
    Rule(
        "spec",
        "dataset",
        ("dataset", "benchmark", "objectives", "constraints"),
        f"has(self.dataset) || has(self.benchmark) || {_STATIC_ONLY_CEL}",
        "dataset is missing: give a dataset (or a benchmark table), unless every objective and constraint is "
        "parameters or macs",
        lambda spec: "dataset" in spec or "benchmark" in spec or _static_only(spec),
    ),
    Rule(
        "spec",
        "confirmation",
        ("confirmation.seeds", "dataset"),
        "!has(self.confirmation) || self.confirmation.seeds == 0 || has(self.dataset)",
        "confirmation trains the front again, so it needs a dataset; remove it",
        lambda spec: not spec.get("confirmation", {}).get("seeds") or "dataset" in spec,
    ),
    Rule(
        "spec",
        "limits",
        ("limits",),
        " || ".join(f"has(self.limits.{name})" for name in _ENDS),
        "nothing ends the search: set at least one of limits.maxEvaluations, limits.maxGenerations, "
        "limits.activeDeadlineSeconds and limits.stagnation",
        lambda spec: any(name in spec["limits"] for name in _ENDS),
    ),
    Rule(
        "spec",
        "algorithm.weights",
        ("algorithm.weights", "objectives"),
        "self.algorithm.weights.size() == 0 || self.algorithm.weights.size() == self.objectives.size()",
        "algorithm.weights must have one weight for each objective, in their order, or be left out",
        lambda spec: len(spec["algorithm"]["weights"]) in (0, len(spec["objectives"])),
    ),
    Rule(
        "spec",
        "objectives",
        ("objectives",),
        "self.objectives.all(a, self.objectives.exists_one(b, a.name == b.name))",
        "two objectives have the same name; give each its own (metric says what is measured)",
        lambda spec: _unique([objective["name"] for objective in spec["objectives"]]),
    ),
    Rule(
        "spec",
        "metrics",
        ("metrics", "objectives"),
        "self.metrics.all(a, self.metrics.exists_one(b, a.name == b.name)"
        " && !self.objectives.exists(o, o.name == a.name))",
        "one of metrics has the name of another or of an objective; give each its own (metric says what is measured)",
        lambda spec: _unique([item["name"] for item in (*spec["metrics"], *spec["objectives"])]),
    ),
    Rule(
        "spec",
        "constraints",
        ("constraints",),
        "self.constraints.all(a, self.constraints.exists_one(b, a.metric == b.metric))",
        "two constraints are on the same metric; join them into one with min and max",
        lambda spec: _unique([constraint["metric"] for constraint in spec["constraints"]]),
    ),
    Rule(
        "spec.constraints[]",
        "",
        ("min", "max"),
        "has(self.min) || has(self.max)",
        "a constraint needs min, max or both",
        lambda constraint: "min" in constraint or "max" in constraint,
        presence=True,
    ),
    Rule(
        "spec.constraints[]",
        "min",
        ("min", "max"),
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "min must not be greater than max",
        lambda constraint: "min" not in constraint or "max" not in constraint or constraint["min"] <= constraint["max"],
    ),
    Rule(
        "spec.dataset",
        "",
        ("name", "source"),
        "has(self.name) != has(self.source)",
        "give exactly one of name (a known data set) and source (data of your own)",
        lambda dataset: ("name" in dataset) != ("source" in dataset),
        presence=True,
    ),
    Rule(
        "spec.dataset",
        "path",
        ("path", "source"),
        "!has(self.path) || !has(self.source)",
        "path says where a named data set's files lie; with source, put the path there",
        lambda dataset: "path" not in dataset or "source" not in dataset,
        presence=True,
    ),
    Rule(
        "spec.dataset.source",
        "",
        ("idx", "imageFolder", "npz"),
        _SOURCES[0],
        "give exactly one of idx, imageFolder and npz",
        _SOURCES[1],
        presence=True,
    ),
    Rule(
        "spec.dataset.source",
        "",
        ("idx", "imageFolder"),
        "(!has(self.idx) || !self.idx.contains('://')) && (!has(self.imageFolder) || !self.imageFolder.contains('://'))",
        "only npz may be an s3:// address; idx and imageFolder are folders",
        lambda source: not any("://" in source.get(name, "") for name in ("idx", "imageFolder")),
    ),
    Rule(
        "spec.dataset.source",
        "npz",
        ("npz",),
        f"!has(self.npz) || !self.npz.contains('://') || self.npz.matches('{s3_address.PATTERN}')",
        f"npz is a file's path or an address in the store: {s3_address.FORM}",
        lambda source: "://" not in source.get("npz", "") or _is_address(source["npz"]),
    ),
    Rule(
        "spec.benchmark",
        "table",
        ("table",),
        "!self.table.contains('://')",
        "table must be a file: in the evaluators' image, or on a volume that evaluators.template mounts",
        lambda benchmark: "://" not in benchmark["table"],
    ),
    Rule(
        "spec.training",
        "schedule.warmupEpochs",
        ("epochs", "schedule.warmupEpochs"),
        "self.schedule.warmupEpochs <= double(self.epochs)",
        "schedule.warmupEpochs must not be greater than epochs",
        lambda training: training["schedule"]["warmupEpochs"] <= training["epochs"],
    ),
    Rule(
        "spec.training",
        "augmentation",
        ("augmentation",),
        "self.augmentation.all(a, self.augmentation.exists_one(b, a == b))",
        "an augmentation is named twice; name each once",
        lambda training: _unique(training["augmentation"]),
    ),
    Rule(
        "spec.training.optimizer",
        "nesterov",
        ("name", "nesterov", "momentum"),
        "self.name != 'sgd' || !self.nesterov || self.momentum > 0.0",
        "nesterov needs a momentum above 0; set nesterov: false or give a momentum",
        lambda optimizer: optimizer["name"] != "sgd" or not optimizer["nesterov"] or optimizer["momentum"] > 0,
    ),
    Rule(
        "spec.algorithm",
        "sampleSize",
        ("name", "sampleSize", "populationSize"),
        "self.name != 'regularizedEvolution' || self.sampleSize <= self.populationSize",
        "sampleSize must not be greater than populationSize: the sample is drawn from the population",
        lambda algorithm: (
            algorithm["name"] != "regularizedEvolution" or algorithm["sampleSize"] <= algorithm["populationSize"]
        ),
    ),
    Rule(
        "spec.algorithm",
        "weights",
        ("weights",),
        "self.weights.size() == 0 || self.weights.exists(w, w > 0.0)",
        "at least one of the weights must be above 0",
        lambda algorithm: not algorithm["weights"] or any(weight > 0 for weight in algorithm["weights"]),
    ),
    Rule(
        "spec",
        "explainers",
        ("explainers",),
        "self.explainers.all(a, self.explainers.exists_one(b, a.name == b.name))",
        "two of explainers have the same name; put all parameters of an explainer into one",
        lambda spec: _unique([explainer["name"] for explainer in spec["explainers"]]),
    ),
    Rule(
        "spec.explanations",
        "methods",
        ("methods",),
        "self.methods.all(a, self.methods.exists_one(b, a == b))",
        "a method is named twice; name each once",
        lambda explanations: _unique(explanations["methods"]),
    ),
    Rule(
        "spec.explanations",
        "methods",
        ("methods", "scope"),
        "self.scope == 'none' || self.methods.size() > 0",
        "methods is empty: name at least one, or set scope: none",
        lambda explanations: explanations["scope"] == "none" or bool(explanations["methods"]),
    ),
)


@dataclass(frozen=True, slots=True)
class TransitionRule:
    """A field that must not change: CEL over `self` and `oldSelf`, attached to `path`."""

    path: str
    field: str
    cel: str
    message: str


def transition_rules() -> tuple[TransitionRule, ...]:
    """Return one rule for each spec field outside MUTABLE_FIELDS, made from the model."""
    rules: list[TransitionRule] = []
    for alias, info in aliases(ArchitectureSearchSpec).items():
        below = as_model(info.annotation)
        if alias in MUTABLE_FIELDS:
            continue
        if below is None or not any(path.startswith(f"{alias}.") for path in MUTABLE_FIELDS):
            rules.append(_unchanged("spec", alias, info.is_required() or info.default is not None))
            continue
        for name, part in aliases(below).items():
            if f"{alias}.{name}" not in MUTABLE_FIELDS:
                rules.append(_unchanged(f"spec.{alias}", name, part.is_required() or part.default is not None))
    return tuple(rules)


def _unchanged(path: str, field: str, always_there: bool) -> TransitionRule:
    cel = f"self.{field} == oldSelf.{field}"
    if not always_there:
        cel = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {cel})"
    name = f"{path}.{field}".removeprefix("spec.")
    return TransitionRule(path, field, cel, unchangeable(name))


def unchangeable(field: str) -> str:
    """Return the sentence that refuses a change of a field (a camelCase path below spec)."""
    return f"{field} cannot be changed once the search exists; put it back, or start a new search"
