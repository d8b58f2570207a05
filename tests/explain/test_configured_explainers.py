"""Parameters of explainers: from a spec or a request to the class, built-in or plug-in."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xnas_core.api.declared import Kind
from xnas_core.api.explainer_parameters import EXPLAINER_PARAMETERS
from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.plugins import PluginKind, load, names
from xnas_core.tasks import TaskKind
from xnas_core.testing.docs_example import load_example
from xnas_evaluator.explain import NotApplicableError
from xnas_evaluator.explain.configured import check, configured
from xnas_evaluator.explain.stored import read
from xnas_evaluator.finalise import finalise
from xnas_evaluator.loading import TrainedNetwork
from xnas_evaluator.objectives.plan import plan
from xnas_evaluator.testing_trained import TrainedFolder, digits_spec

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "explainer.md"
ARGUMENTS = {
    "steps": "n_steps",
    "samples": "n_samples",
    "baselineSpread": "baseline_spread",
    "preferredSide": "preferred_side",
    "budgetMiB": "budget_bytes",
}
PAIRS = [(explainer, name) for explainer, known in EXPLAINER_PARAMETERS.items() for name in known]


def _another(explainer: str, name: str) -> Any:
    about = EXPLAINER_PARAMETERS[explainer][name]
    if about.kind is Kind.TEXT:
        return "stage1"
    return int(about.low) + 1 if about.kind is Kind.WHOLE else 0.5


def test_every_argument_of_a_built_in_explainer_is_a_parameter_with_the_same_default() -> None:
    assert sorted(EXPLAINER_PARAMETERS) == names(PluginKind.EXPLAINER)
    for explainer, known in EXPLAINER_PARAMETERS.items():
        arguments = inspect.signature(load(PluginKind.EXPLAINER, explainer)).parameters
        assert len(arguments) == len(known), explainer
        given = {name: about.default for name, about in known.items() if about.default not in (None, "")}
        assert vars(configured(explainer, given)) == vars(configured(explainer, {}))


@pytest.mark.parametrize(("explainer", "name"), PAIRS)
def test_each_parameter_reaches_its_argument_and_no_other(explainer: str, name: str) -> None:
    value = _another(explainer, name)
    default, changed = vars(configured(explainer, {})), vars(configured(explainer, {name: value}))
    (different,) = [attribute for attribute in default if default[attribute] != changed[attribute]]
    assert changed[different] == (value * 2**20 if name == "budgetMiB" else value)
    assert different == ARGUMENTS.get(name, name)


@pytest.mark.parametrize(
    ("explainer", "parameters", "says"),
    [
        ("integratedGradients", {"step": 3}, "'step'; did you mean 'steps'"),
        ("integratedGradients", {"steps": 2.5}, "steps is 2.5, but must be a whole number 1 to 10,000"),
        ("gradientShap", {"baselineSpread": -1}, "must be a number 0 to 100"),
        ("layerConductance", {"steps": 1}, "must be a whole number 2 to 10,000"),
        ("occlusion", {"window": 2, "stride": 3}, "stride is 3, but must be at most the window"),
    ],
)
def test_what_is_wrong_is_said(explainer: str, parameters: dict[str, Any], says: str) -> None:
    for refuse in (check, configured):
        with pytest.raises(InvalidInputError, match=says):
            refuse(explainer, parameters)


def test_an_unknown_explainer_is_named() -> None:
    with pytest.raises(UnknownNameError, match="gradcamm"):
        configured("gradcamm", {})


def _stored(trained: TrainedFolder, kind: TaskKind, attempt: int, method: str) -> tuple[dict[str, Tensor], Any]:
    content = trained.context(kind).get(kind, attempt, f"explanations/{method}.safetensors")
    assert content is not None
    tensors, metadata = read(content)
    return dict(tensors), metadata["parameters"]


def test_explanations_of_the_front_have_the_searchs_parameters_and_a_request_others(trained: TrainedFolder) -> None:
    spec = digits_spec(
        explanations={"methods": ["integratedGradients", "saliency"], "samplesPerClass": 1},
        explainers=[{"name": "integratedGradients", "parameters": {"steps": 7, "baseline": 0.5}}],
    )
    finalise(trained.context(TaskKind.FINALISE, spec=spec, attempt=21))
    own, said = _stored(trained, TaskKind.FINALISE, 21, "integratedGradients")
    assert (said["steps"], said["baseline"]) == (7, "mean image +0.5 standard deviations")
    # What a request does not name is the search's.
    asked = {"explainers": [{"name": "integratedGradients", "parameters": {"steps": 9}}]}
    finalise(trained.context(TaskKind.EXPLAIN, spec=spec, attempt=22, parameters=asked))
    others, said = _stored(trained, TaskKind.EXPLAIN, 22, "integratedGradients")
    assert (said["steps"], said["baseline"]) == (9, "mean image +0.5 standard deviations")
    assert not torch.equal(own["attributions"], others["attributions"])
    assert torch.equal(own["inputs"], others["inputs"])


def test_a_layer_is_chosen_by_its_name(network: TrainedNetwork) -> None:
    inputs, targets = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 2])
    for explainer in ("gradCam", "guidedGradCam", "layerConductance"):
        last = configured(explainer, {}).explain(network, inputs, targets, 0)
        first = configured(explainer, {"layer": "stage1"}).explain(network, inputs, targets, 0)
        assert str(first.parameters["layer"]).startswith("stage1.")
        assert not str(last.parameters["layer"]).startswith("stage1.")
        assert not torch.equal(first.attributions, last.attributions)
        with pytest.raises(NotApplicableError, match=f"{explainer} .* this network has none .* 'stage9'"):
            configured(explainer, {"layer": "stage9"}).explain(network, inputs, targets, 0)
    # Everything passes through an early layer, too: what it contributes adds up to the same.
    assert first.deltas is not None
    assert bool((first.deltas.abs() < 0.1).all())


def test_the_documented_plug_in_gets_its_parameters_as_arguments(trained: TrainedFolder) -> None:
    spec = digits_spec(
        explanations={"methods": ["smoothGrad"], "samplesPerClass": 1},
        explainers=[{"name": "smoothGrad", "parameters": {"copies": 3, "noise": 0.25}}],
        metrics=[{"name": "sparsity", "parameters": {"method": "smoothGrad"}}],
    )
    with load_example(PAGE, "xnas.explainers", "smoothGrad"):
        plan(spec)
        finalise(trained.context(TaskKind.FINALISE, spec=spec, attempt=23))
        for parameters, says in (
            ({"copys": 3}, "smoothGrad has no parameter 'copys'; did you mean 'copies'"),
            ({"copies": 0}, "smoothGrad needs at least 1 copy"),
            ({"copies": "three"}, "smoothGrad refuses its parameters"),
        ):
            wrong = digits_spec(explainers=[{"name": "smoothGrad", "parameters": parameters}])
            with pytest.raises(InvalidInputError, match=says):
                plan(wrong)
            asked = {"methods": ["smoothGrad"], "explainers": [{"name": "smoothGrad", "parameters": parameters}]}
            with pytest.raises(InvalidInputError, match=says):
                finalise(trained.context(TaskKind.EXPLAIN, attempt=24, parameters=asked))
    _, said = _stored(trained, TaskKind.FINALISE, 23, "smoothGrad")
    assert said == {"copies": 3, "noise": 0.25}
