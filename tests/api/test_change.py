"""Digest of a spec, and what changed between two."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api import ArchitectureSearchSpec, changed_fields, spec_digest

BASE: dict[str, Any] = {
    "searchSpace": {"name": "nas-bench-201", "parameters": {"channels": 8, "prune": True}},
    "dataset": {"name": "digits"},
    "objectives": [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "introspectability", "direction": "maximize", "reference": 0},
    ],
    "limits": {"maxEvaluations": 48},
}


def _with(path: list[Any], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(BASE)
    here: Any = document
    for part in path[:-1]:
        here = here.setdefault(part, {}) if isinstance(here, dict) else here[part]
    here[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("new", "mutable", "immutable"),
    [
        (BASE, [], []),
        (_with(["limits", "maxEvaluations"], 96), ["limits.maxEvaluations"], []),
        (_with(["limits", "stagnation"], {"generations": 3}), ["limits.stagnation"], []),
        (_with(["limits"], {"maxGenerations": 3}), ["limits.maxEvaluations", "limits.maxGenerations"], []),
        (_with(["backoffLimit"], 1), ["backoffLimit"], []),
        (_with(["suspend"], True), ["suspend"], []),
        (_with(["ttlSecondsAfterFinished"], 60), ["ttlSecondsAfterFinished"], []),
        (_with(["evaluators", "replicas"], 4), ["evaluators.replicas"], []),
        (_with(["evaluators", "slotsPerEvaluator"], 4), [], ["evaluators.slotsPerEvaluator"]),
        (_with(["seed"], 1), [], ["seed"]),
        (_with(["training", "optimizer", "momentum"], 0.8), [], ["training.optimizer.momentum"]),
        (_with(["objectives", 1, "direction"], "minimize"), [], ["objectives[1].direction"]),
        (_with(["objectives"], BASE["objectives"][:1]), [], ["objectives"]),
        (_with(["searchSpace", "parameters", "channels"], 16), [], ["searchSpace.parameters.channels"]),
        (_with(["searchSpace", "parameters", "prune"], 1), [], ["searchSpace.parameters.prune"]),
        (_with(["dataset"], None), [], ["dataset"]),
        (_with(["suspend"], False), [], []),
        (_with(["training"], {"epochs": 12, "optimizer": {"momentum": 0.9}}), [], []),
        (_with(["objectives", 1, "reference"], 0.0), [], []),
        ({**_with(["seed"], 3), "suspend": True}, ["suspend"], ["seed"]),
    ],
)
def test_changed_fields(new: dict[str, Any], mutable: list[str], immutable: list[str]) -> None:
    assert changed_fields(BASE, new) == (mutable, immutable)
    back_mutable, back_immutable = changed_fields(new, BASE)
    assert (back_mutable, back_immutable) == (mutable, immutable)


def test_a_model_and_its_document_are_the_same() -> None:
    document = ArchitectureSearchSpec.model_validate_json(json.dumps(BASE)).to_document()
    assert changed_fields(BASE, document) == ([], [])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_digest_survives_json_and_the_order_of_keys(document: dict[str, Any]) -> None:
    digest = spec_digest(document)
    assert digest == spec_digest(json.loads(json.dumps(document)))
    assert digest == spec_digest(dict(reversed(document.items())))


def test_the_digest_is_pinned_and_sees_every_change() -> None:
    assert spec_digest({"b": [1, 2.0, "x"], "a": 0.5}) == spec_digest({"a": 0.5, "b": [1.0, 2, "x"]})
    assert spec_digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    variants = [BASE, _with(["seed"], 1), _with(["limits", "maxEvaluations"], 49), _with(["suspend"], False)]
    assert len({spec_digest(variant) for variant in variants}) == len(variants)
    with pytest.raises(ValueError, match="JSON compliant"):
        spec_digest({"a": float("nan")})
