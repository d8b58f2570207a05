"""The tasks finalise and explain on a really trained network."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from xnas_core import plugins
from xnas_core.artifacts import keys
from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST, RESULT
from xnas_core.errors import IntegrityError, InvalidInputError
from xnas_core.graph import Op
from xnas_core.tasks import TaskKind, TaskResult
from xnas_core.testing.docs_example import load_example
from xnas_evaluator.context import TaskCancelledError
from xnas_evaluator.explain import Explainer, Explanation, NotApplicableError
from xnas_evaluator.explain.make import NoExplanationError
from xnas_evaluator.explain.stored import _rows, read
from xnas_evaluator.finalise import finalise
from xnas_evaluator.loading import TrainedNetwork
from xnas_evaluator.resident import device_data
from xnas_evaluator.stored_checkpoint import CheckpointMissingError
from xnas_evaluator.testing_trained import TrainedFolder, digits_spec

METHODS = ["integratedGradients", "saliency", "gradCam"]
DIAGNOSIS_FILES = {keys.DIAGNOSIS, keys.DIAGNOSIS_TENSORS, keys.HEAT_MAPS, keys.SUSPECTS}
PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "explainer.md"


class Fails:
    def explain(self, network: nn.Module, *_: object) -> Explanation:
        network.get_submodule("stem.conv").register_forward_hook(lambda *_: torch.zeros(()))
        raise ZeroDivisionError("a plug-in's mistake")


class NeverApplies:
    def explain(self, *_: object) -> Explanation:
        raise NotApplicableError("it never is")


class Returns:
    attributions = torch.zeros(20, 1, 8, 8)
    deltas: Tensor | None = None

    def explain(self, *_: object) -> Explanation:
        return Explanation(self.attributions, self.deltas)


class BadShape(Returns):
    attributions = torch.zeros(20, 1, 4, 4)


class NotANumber(Returns):
    attributions = torch.full((20, 1, 8, 8), torch.nan)


class BadDeltas(Returns):
    deltas = torch.zeros(3)


class BadParameters:
    def explain(self, *_: object) -> Explanation:
        return Explanation(torch.zeros(20, 1, 8, 8), None, {"layer": torch.zeros(1)})  # type: ignore[dict-item]  # the mistake that is tested


class BadLayers:
    def explain(self, *_: object) -> Explanation:
        return Explanation(torch.zeros(20, 1, 8, 8), layers={"block": torch.zeros(20, 2)})


class Deltas(Returns):
    deltas = torch.full((20,), -2.0)


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Any] = {
        c.__name__: c
        for c in (Fails, NeverApplies, Returns, BadShape, NotANumber, BadDeltas, BadParameters, BadLayers, Deltas)
    }
    original = plugins.load
    place = "xnas_evaluator.explain.configured.load"
    monkeypatch.setattr(place, lambda kind, name: known.get(name) or original(kind, name))


def _finalise(trained: TrainedFolder, *methods: str, attempt: int = 9, **explanations: Any) -> TaskResult:
    spec = digits_spec(explanations={"methods": list(methods), **explanations})
    return finalise(trained.context(TaskKind.FINALISE, spec=spec, attempt=attempt))


def _explanations(result: TaskResult) -> list[str]:
    return [a.name for a in result.artifacts if a.name.startswith("explanations/")]


def test_the_test_split_is_scored_and_everything_is_stored(trained: TrainedFolder, network: TrainedNetwork) -> None:
    context = trained.context(TaskKind.FINALISE)
    result = finalise(context)
    assert trained.spec.dataset is not None
    data = device_data(trained.spec.dataset, trained.spec.seed, context.cache, "cpu")
    with torch.no_grad():
        scores = network(network.normalise(data.test.images))
    accuracy = float((scores.argmax(1) == data.test.labels).float().mean())
    assert accuracy > 0.9
    assert result.metrics["test_accuracy"] == pytest.approx(accuracy)
    assert result.metrics["test_loss"] == pytest.approx(float(nn.functional.cross_entropy(scores, data.test.labels)))
    n = len(data.test)
    assert result.errors["test_accuracy"] == pytest.approx((accuracy * (1 - accuracy) / n) ** 0.5)
    explanations = {f"explanations/{m}{e}" for m in METHODS for e in (".png", ".safetensors")} | {keys.SIDE_BY_SIDE}
    assert {a.name for a in result.artifacts} == explanations | DIAGNOSIS_FILES
    for artifact in result.artifacts:
        content = context.get(TaskKind.FINALISE, 1, artifact.name)
        assert content is not None
        assert (artifact.size, artifact.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        if artifact.name in explanations and artifact.name.endswith(".png"):
            assert Image.open(io.BytesIO(content)).width == 720
            assert artifact.size < 100_000
    assert {"pictures_seconds", *(f"explain_{m}_seconds" for m in METHODS)} < set(result.timings)
    assert not any(name.startswith("explanations.") for name in result.environment)
    assert {progress.epochs for progress in context.reported} == {1, 3}
    assert {"scoring the test split", "diagnosing"} < {progress.step for progress in context.reported}


def test_stored_tensors_say_what_was_explained(trained: TrainedFolder, network: TrainedNetwork) -> None:
    context = trained.context(TaskKind.FINALISE, attempt=2)
    result = finalise(context)
    content = context.get(TaskKind.FINALISE, 2, "explanations/integratedGradients.safetensors")
    assert content is not None
    tensors, metadata = read(content)
    assert trained.spec.dataset is not None
    data = device_data(trained.spec.dataset, trained.spec.seed, context.cache, "cpu")
    assert torch.equal(tensors["inputs"], data.validation.images[tensors["samples"]])
    assert torch.equal(tensors["labels"], data.validation.labels[tensors["samples"]])
    assert torch.equal(tensors["labels"], torch.arange(10).repeat_interleave(2))
    probabilities, predictions = network(network.normalise(tensors["inputs"])).softmax(1).max(1)
    assert torch.equal(tensors["predictions"], predictions)
    assert torch.equal(tensors["targets"], predictions)
    torch.testing.assert_close(tensors["probabilities"], probabilities.detach(), atol=1e-5, rtol=1e-4)
    assert result.metrics["completeness_delta"] == pytest.approx(float(tensors["deltas"].abs().mean()))
    assert metadata["method"] == "integratedGradients"
    assert metadata["parameters"]["baseline"].startswith("mean image")
    assert metadata["classNames"] == list("0123456789")
    assert set(metadata["versions"]) == {"torch", "captum"}
    with pytest.raises(IntegrityError, match="explanation was altered"):
        read(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_second_attempt_makes_the_same(trained: TrainedFolder) -> None:
    first, second = (_finalise(trained, *METHODS, attempt=n) for n in (3, 4))
    assert first.metrics == second.metrics
    pictures = [[a.sha256 for a in r.artifacts if a.name.endswith(".png")] for r in (first, second)]
    assert pictures[0] == pictures[1]
    for method in METHODS:
        contents = [_tensors(trained, method, n) for n in (3, 4)]
        assert contents[0].keys() == contents[1].keys()
        assert all(torch.equal(contents[0][name], contents[1][name]) for name in contents[0])


def _tensors(trained: TrainedFolder, method: str, attempt: int) -> dict[str, Tensor]:
    name = f"explanations/{method}.safetensors"
    content = trained.context(TaskKind.FINALISE).get(TaskKind.FINALISE, attempt, name)
    assert content is not None
    return dict(read(content)[0])


def test_scope_none_scores_and_explains_nothing(trained: TrainedFolder) -> None:
    result = _finalise(trained, *METHODS, scope="none")
    assert set(result.metrics) == {"test_accuracy", "test_loss"}
    assert result.artifacts == ()


def test_explain_never_looks_at_the_test_split_and_takes_parameters(trained: TrainedFolder) -> None:
    parameters = {"methods": ["saliency"], "samplesPerClass": 1}
    spec = digits_spec(explanations={"scope": "none"})
    context = trained.context(TaskKind.EXPLAIN, spec=spec, parameters=parameters)
    result = finalise(context)
    assert not any(name.startswith("test_") for name in result.metrics)
    assert _explanations(result) == ["explanations/saliency.safetensors", "explanations/saliency.png"]
    assert {a.name for a in result.artifacts} > DIAGNOSIS_FILES
    content = context.get(TaskKind.EXPLAIN, 1, "explanations/saliency.safetensors")
    assert content is not None
    assert len(read(content)[0]["labels"]) == 10


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"steps": 3}, "no parameter 'steps'"), ({"samplesPerClass": 0}, "samplesPerClass"), ({"methods": 3}, "methods")],
)
def test_wrong_parameters_of_explain_are_named(trained: TrainedFolder, parameters: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        finalise(trained.context(TaskKind.EXPLAIN, parameters=parameters))


@pytest.mark.usefixtures("plug_ins")
def test_one_methods_failure_spares_the_others(trained: TrainedFolder) -> None:
    result = _finalise(trained, "Fails", "gradCam", "noSuch", "NeverApplies", "saliency")
    made = {f"explanations/{m}{e}" for m in ("gradCam", "saliency") for e in (".png", ".safetensors")}
    assert set(_explanations(result)) == made | {keys.SIDE_BY_SIDE}
    failed = result.environment["explanations.failed"]
    assert "Fails: ZeroDivisionError: a plug-in's mistake" in failed
    assert "unknown explainer 'noSuch'" in failed
    assert result.environment["explanations.notApplicable"] == "NeverApplies: it never is"
    assert torch.equal(_tensors(trained, "saliency", 9)["attributions"], _alone(trained)["attributions"])


def _alone(trained: TrainedFolder) -> dict[str, Tensor]:
    _finalise(trained, "saliency", attempt=10)
    return _tensors(trained, "saliency", 10)


@pytest.mark.usefixtures("plug_ins")
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("BadShape", "need .20, 1, 8, 8."),
        ("NotANumber", "attributions are NaN"),
        ("BadDeltas", "deltas have the shape"),
        ("BadParameters", "not plain strings"),
        ("BadLayers", "layer 'block' has the shape"),
    ],
)
def test_when_every_method_fails_the_task_fails_and_says_why(trained: TrainedFolder, method: str, message: str) -> None:
    with pytest.raises(NoExplanationError, match=message):
        _finalise(trained, method, "Fails")


def test_shares_of_layers_are_stored_with_their_names(trained: TrainedFolder, network: TrainedNetwork) -> None:
    result = _finalise(trained, "layerConductance", attempt=13)
    assert keys.SIDE_BY_SIDE not in _explanations(result)
    context = trained.context(TaskKind.FINALISE)
    content = context.get(TaskKind.FINALISE, 13, "explanations/layerConductance.safetensors")
    assert content is not None
    tensors, metadata = read(content)
    sums = [node for node in network.graph.nodes if node.op is Op.ADD]
    assert metadata["layers"] == [f"{node.name} < {name}" for node in sums for name in node.inputs]
    assert tensors["layers"].shape == (20, len(metadata["layers"]))
    assert bool((tensors["layers"] != 0).any(0).all())


@pytest.mark.usefixtures("plug_ins")
def test_a_method_that_does_not_apply_has_not_failed(trained: TrainedFolder) -> None:
    result = _finalise(trained, "NeverApplies")
    assert _explanations(result) == []
    assert "explanations.failed" not in result.environment


@pytest.mark.usefixtures("plug_ins")
def test_deltas_of_a_plug_in_are_recorded_under_its_name(trained: TrainedFolder) -> None:
    assert _finalise(trained, "Deltas").metrics["completeness_delta_Deltas"] == 2.0


def test_the_documented_plug_in_runs(trained: TrainedFolder, network: TrainedNetwork) -> None:
    with load_example(PAGE, "xnas.explainers", "smoothGrad") as example:
        assert isinstance(example.plugin(), Explainer)
        result = _finalise(trained, "smoothGrad", attempt=11)
        tensors = _tensors(trained, "smoothGrad", 11)
        inputs = network.normalise(tensors["inputs"])
        quiet = example.plugin(copies=1, noise=0.0).explain(network, inputs, tensors["targets"], 0).attributions
    assert len(_explanations(result)) == 2
    leaf = inputs.requires_grad_()
    network(leaf).gather(1, tensors["targets"][:, None]).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(quiet, leaf.grad, atol=1e-5, rtol=1e-4)
    assert not torch.equal(tensors["attributions"], quiet)


def test_the_pages_list_the_built_in_explainers() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## The built-in ones")[2]
    methods = (PAGE.parents[1] / "explainers.md").read_text(encoding="utf-8")
    reference = (PAGE.parents[1] / "reference" / "architecturesearch.md").read_text(encoding="utf-8")
    listed = next(line for line in reference.partition("## spec.explanations")[2].splitlines() if "`methods`" in line)
    for name in plugins.names(plugins.PluginKind.EXPLAINER):
        assert f"| `{name}` |" in table
        assert f"| `{name}` |" in methods.partition("## Which one")[2]
        assert name in listed


def test_a_cancelled_attempt_leaves(trained: TrainedFolder) -> None:
    context = trained.context(TaskKind.FINALISE, attempt=12)
    context.cancel_at_epoch = 1
    with pytest.raises(TaskCancelledError):
        finalise(context)
    assert {a.name for a in context.stored} == {
        "explanations/integratedGradients.safetensors",
        "explanations/integratedGradients.png",
    }


@pytest.mark.parametrize("name", [CHECKPOINT, CHECKPOINT_MANIFEST, RESULT])
def test_a_torn_object_is_named(trained: TrainedFolder, tmp_path: Path, name: str) -> None:
    copied = replace(trained, root=tmp_path / "run")
    shutil.copytree(trained.root, copied.root)
    path = copied.root / "candidates" / trained.candidate / "evaluate-1" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(IntegrityError, match=f"evaluate-1.*{name}|evaluate-1/{name}"):
        finalise(copied.context(TaskKind.FINALISE))


def test_an_altered_manifest_is_noticed_though_it_fits_itself(trained: TrainedFolder, tmp_path: Path) -> None:
    copied = replace(trained, root=tmp_path / "run")
    shutil.copytree(trained.root, copied.root)
    path = copied.root / "candidates" / trained.candidate / "evaluate-1" / CHECKPOINT_MANIFEST
    document = json.loads(path.read_bytes())
    document["normalisation"]["mean"] = [0.0]
    path.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match=r"checkpoint\.json was altered"):
        finalise(copied.context(TaskKind.FINALISE))


def test_what_can_not_be_finalised_is_refused(trained: TrainedFolder) -> None:
    with pytest.raises(InvalidInputError, match="no source attempt"):
        finalise(trained.context(TaskKind.FINALISE, source_attempt=None))
    with pytest.raises(IntegrityError, match=f"evaluate-7/{RESULT} is not there"):
        finalise(trained.context(TaskKind.FINALISE, source_attempt=7))
    with pytest.raises(InvalidInputError, match="kind 'evaluate'"):
        finalise(trained.context(TaskKind.EVALUATE))
    with pytest.raises(InvalidInputError, match="the search has none"):
        finalise(trained.context(TaskKind.FINALISE, spec=trained.spec.model_copy(update={"dataset": None})))
    with pytest.raises(InvalidInputError, match="data changed"):
        finalise(trained.context(TaskKind.FINALISE, spec=digits_spec(dataset={"name": "lines"})))


def test_a_checkpoint_that_was_removed_is_named(trained: TrainedFolder, tmp_path: Path) -> None:
    copied = replace(trained, root=tmp_path / "run")
    shutil.copytree(trained.root, copied.root)
    (copied.root / "candidates" / trained.candidate / "evaluate-1" / CHECKPOINT).unlink()
    with pytest.raises(CheckpointMissingError, match=f"evaluate-1/{CHECKPOINT} is not there"):
        finalise(copied.context(TaskKind.FINALISE))


def test_of_more_samples_than_rows_every_class_is_drawn() -> None:
    labels = np.arange(10).repeat(8).tolist()
    chosen = _rows(labels, 25)
    assert len(chosen) == 25
    assert chosen == sorted(chosen)
    assert {labels[position] for position in chosen} == set(range(10))
