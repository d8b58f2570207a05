"""What the operator says of explainers' parameters, which no schema can see."""

from __future__ import annotations

from typing import Any

import pytest

from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.spec_reading import RefusedError, SpecReader


def _body(**parameters: Any) -> dict[str, Any]:
    spec = {
        "searchSpace": {"name": "nas-bench-201"},
        "dataset": {"name": "digits"},
        "objectives": [{"name": "accuracy", "direction": "maximize"}],
        "limits": {"maxEvaluations": 100},
        "explanations": {"methods": ["integratedGradients", "mine"]},
        "explainers": [
            {"name": "integratedGradients", "parameters": parameters},
            # A plug-in in the evaluators' image: they alone can tell.
            {"name": "mine", "parameters": {"anything": 1}},
        ],
    }
    metadata = {"name": "a", "namespace": "team", "uid": "u", "generation": 1}
    return {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "metadata": metadata, "spec": spec}


def _reader() -> SpecReader:
    return SpecReader(lambda: EvaluatorDefaults("operator:9090", "evaluator:1"), lambda *_: False)


def test_right_parameters_are_accepted() -> None:
    accepted = _reader().checked(_body(steps=100))
    assert accepted.explainers[0].parameters == {"steps": 100}
    assert accepted.explainers[1].parameters == {"anything": 1}


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"steps": 0}, "spec.explainers[0].parameters.steps: is 0, but must be a whole number 1 to 10,000"),
        (
            {"step": 9},
            'spec.explainers[0].parameters.step: there is no integratedGradients parameter "step"; '
            'did you mean "steps"?',
        ),
    ],
)
def test_wrong_ones_are_refused_with_a_sentence(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(RefusedError) as error:
        _reader().checked(_body(**parameters))
    assert says in str(error.value)
