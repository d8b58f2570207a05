"""Every rule accepts and refuses the examples that a real API server is given for the CEL."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from xnas_core.api.change import changed_fields
from xnas_core.api.model_tree import apply_defaults
from xnas_core.api.rules import RULES, STATIC_METRICS, Rule, transition_rules, unchangeable
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.validate import check_document
from xnas_core.objectives import METRICS

ACCURACY = {"name": "accuracy", "direction": "maximize"}
MACS = {"name": "macs", "direction": "minimize"}
SIZE = {"name": "size", "direction": "minimize", "metric": "parameters"}
COST = {"name": "cost", "direction": "minimize", "metric": "macs"}
BASE: dict[str, Any] = {
    "searchSpace": {"name": "nas-bench-201"},
    "dataset": {"name": "digits"},
    "objectives": [ACCURACY, MACS],
    "limits": {"maxEvaluations": 100},
}
GONE = object()

Change = dict[str, Any]

EXAMPLES: list[tuple[str, list[Change], list[Change]]] = [
    # part of the message, changes that are accepted, changes that are refused; GONE removes a field
    ("exclude each other", [{}], [{"benchmark": {"table": "t.csv"}}]),
    (
        "dataset is missing",
        [
            {"dataset": GONE, "objectives": [MACS]},
            {"dataset": GONE, "objectives": [SIZE], "constraints": [{"metric": "macs", "max": 1}]},
            {"dataset": GONE, "objectives": [COST], "constraints": [{"metric": "cost", "max": 1}]},
        ],
        [
            {"dataset": GONE},
            {"dataset": GONE, "objectives": [{**MACS, "metric": "loss"}]},
            {"dataset": GONE, "objectives": [MACS], "constraints": [{"metric": "loss", "max": 1}]},
        ],
    ),
    (
        "trains the front again",
        [{"confirmation": {"seeds": 3}}, {"dataset": GONE, "objectives": [MACS], "confirmation": {"seeds": 0}}],
        [{"dataset": GONE, "objectives": [MACS], "confirmation": {"seeds": 1}}],
    ),
    (
        "nothing ends the search",
        [
            {"limits": {"maxGenerations": 1}},
            {"limits": {"activeDeadlineSeconds": 1}},
            {"limits": {"stagnation": {"generations": 2}}},
        ],
        [{"limits": GONE}, {"limits": {}}, {"limits": {"maxFailedEvaluations": 3, "evaluationDeadlineSeconds": 3}}],
    ),
    (
        "one weight for each objective",
        [{"algorithm": {"weights": [1, 2]}}, {"algorithm": {"weights": []}}],
        [{"algorithm": {"weights": [1]}}, {"algorithm": {"weights": [1, 2, 3]}}],
    ),
    (
        "objectives have the same name",
        [{}],
        [{"objectives": [ACCURACY, ACCURACY]}, {"objectives": [MACS, ACCURACY, MACS]}],
    ),
    (
        "the name of another or of an objective",
        [{"metrics": [{"name": "loss"}, {"name": "again", "metric": "loss"}]}],
        [{"metrics": [{"name": "loss"}, {"name": "loss"}]}, {"metrics": [{"name": "accuracy"}]}],
    ),
    (
        "constraints are on the same metric",
        [{"constraints": [{"metric": "macs", "max": 2}, {"metric": "loss", "max": 2}]}],
        [{"constraints": [{"metric": "macs", "max": 2}, {"metric": "macs", "min": 1}]}],
    ),
    (
        "min, max or both",
        [{"constraints": [{"metric": "macs", "min": 0}]}, {"constraints": [{"metric": "macs", "max": 0}]}],
        [{"constraints": [{"metric": "macs"}]}],
    ),
    (
        "min must not be greater",
        [{"constraints": [{"metric": "macs", "min": 1, "max": 1}]}],
        [{"constraints": [{"metric": "macs", "min": 1.5, "max": 1}]}],
    ),
    (
        "exactly one of name",
        [{"dataset": {"source": {"npz": "s3://bucket/x.npz"}}}],
        [{"dataset": {"validationFraction": 0.2}}, {"dataset": {"name": "digits", "source": {"npz": "s3://b/x.npz"}}}],
    ),
    (
        "with source, put the path there",
        [{"dataset": {"name": "mnist", "path": "."}}],
        [{"dataset": {"source": {"npz": "s3://b/x.npz"}, "path": "."}}],
    ),
    (
        "exactly one of idx",
        [{"dataset": {"source": {"idx": "."}}}],
        [{"dataset": {"source": {}}}, {"dataset": {"source": {"idx": ".", "imageFolder": "."}}}],
    ),
    (
        "only npz may be",
        [{"dataset": {"source": {"npz": "s3://b/x.npz"}}}],
        [{"dataset": {"source": {"idx": "s3://b/x"}}}, {"dataset": {"source": {"imageFolder": "https://b/x"}}}],
    ),
    (
        "an address in the store",
        [{"dataset": {"source": {"npz": "s3://b/a-b/c_d.0/x.npz"}}}, {"dataset": {"source": {"npz": "../x%2e.npz"}}}],
        [
            {"dataset": {"source": {"npz": address}}}
            for address in (
                "https://b/x.npz",
                "S3://b/x.npz",
                "s3://b",
                "s3://b/",
                "s3:///x.npz",
                "s3://b//x.npz",
                "s3://b/../x.npz",
                "s3://b/a/./x.npz",
                "s3://b/a/%2e%2e/x.npz",
                "s3://b/x.npz?versionId=1",
                "s3://b/x.npz\n",
                "s3://b\\x.npz",
            )
        ],
    ),
    (
        "table must be a file",
        [{"dataset": GONE, "benchmark": {"table": "t.csv", "key": "k"}}],
        [{"dataset": GONE, "benchmark": {"table": "s3://b/t.csv", "key": "k"}}],
    ),
    (
        "warmupEpochs must not",
        [{"training": {"epochs": 1, "schedule": {"warmupEpochs": 1}}}],
        [{"training": {"epochs": 1, "schedule": {"warmupEpochs": 1.5}}}],
    ),
    (
        "augmentation is named twice",
        [{"training": {"augmentation": ["flip", "crop"]}}],
        [{"training": {"augmentation": ["flip", "flip"]}}],
    ),
    (
        "nesterov needs",
        [
            {"training": {"optimizer": {"momentum": 0, "nesterov": False}}},
            {"training": {"optimizer": {"name": "adam", "momentum": 0}}},
        ],
        [
            {"training": {"optimizer": {"momentum": 0}}},
            {"training": {"optimizer": {"momentum": 0.0, "nesterov": True}}},
        ],
    ),
    (
        "sampleSize must not",
        [{"algorithm": {"name": "regularizedEvolution", "populationSize": 5}}, {"algorithm": {"sampleSize": 100}}],
        [{"algorithm": {"name": "regularizedEvolution", "populationSize": 4}}],
    ),
    (
        "weights must be above 0",
        [{"algorithm": {"weights": [0, 1]}}],
        [{"algorithm": {"weights": [0, 0]}}],
    ),
    (
        "two of explainers have the same name",
        [{"explainers": [{"name": "saliency"}, {"name": "gradCam", "parameters": {"layer": "stage1"}}]}],
        [{"explainers": [{"name": "saliency"}, {"name": "saliency", "parameters": {"budgetMiB": 64}}]}],
    ),
    (
        "method is named twice",
        [{"explanations": {"methods": ["saliency", "gradCam"]}}],
        [{"explanations": {"methods": ["saliency", "saliency"]}}],
    ),
    (
        "methods is empty",
        [{"explanations": {"methods": [], "scope": "none"}}],
        [{"explanations": {"methods": []}}],
    ),
]


def _spec(change: Change) -> dict[str, Any]:
    spec = {**copy.deepcopy(BASE), **change}
    return {key: value for key, value in spec.items() if value is not GONE}


def _messages(change: Change, folder: Path) -> list[str]:
    document = {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": "a"},
        "spec": _spec(change),
    }
    return [finding.message for finding in check_document(document, folder)[1]]


def _rule(part: str) -> Rule:
    (rule,) = [rule for rule in RULES if part in rule.message]
    return rule


def test_every_rule_has_examples() -> None:
    assert sorted(_rule(part).message for part, _, _ in EXAMPLES) == sorted(rule.message for rule in RULES)
    for _, accepted, refused in EXAMPLES:
        assert accepted
        assert refused


@pytest.mark.parametrize(("part", "change"), [(part, change) for part, accepted, _ in EXAMPLES for change in accepted])
def test_accepted(part: str, change: Change, tmp_path: Path) -> None:
    messages = _messages(change, tmp_path)
    assert _rule(part).message not in messages
    assert not [message for message in messages if any(rule.message == message for rule in RULES)]


@pytest.mark.parametrize(("part", "change"), [(part, change) for part, _, refused in EXAMPLES for change in refused])
def test_refused_with_the_rules_own_words(part: str, change: Change, tmp_path: Path) -> None:
    assert _rule(part).message in _messages(change, tmp_path)


def test_a_rule_is_silent_where_what_it_reads_is_wrong_already(tmp_path: Path) -> None:
    messages = _messages({"limits": {"maxEvaluation": 3}}, tmp_path)
    assert messages == ['unknown field; did you mean "maxEvaluations"?']


def test_static_metrics_are_those_of_the_metrics_table() -> None:
    assert sorted(STATIC_METRICS) == sorted(name for name, metric in METRICS.items() if metric.static)


def _changed(spec: dict[str, Any], field: str) -> dict[str, Any]:
    new = apply_defaults(copy.deepcopy(spec), ArchitectureSearchSpec)
    *above, last = field.split(".")
    here = new
    for part in above:
        here = here[part]
    here[last] = "changed"
    return dict(new)


@pytest.mark.parametrize("rule", transition_rules(), ids=lambda rule: f"{rule.path}.{rule.field}")
def test_transition_rules_name_what_changed_fields_refuses(rule: Any) -> None:
    field = f"{rule.path}.{rule.field}".removeprefix("spec.")
    assert rule.message == unchangeable(field)
    assert field in rule.message
    mutable, immutable = changed_fields(BASE, _changed(BASE, field))
    assert (mutable, immutable) == ([], [field])
