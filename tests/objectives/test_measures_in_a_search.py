"""Measures as a search asks for them: names, parameters, sharing, the guard of unpruned spaces, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.objectives.measure_subjects import NUMBERS, data, futile_network, network
from xnas_core import plugins
from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.objectives import METRICS, always_recorded
from xnas_core.plugins import PluginKind, load
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.explain.configured import configured
from xnas_evaluator.explain.integrated_gradients import IntegratedGradientsExplainer
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives import shared as sharing
from xnas_evaluator.objectives import validation
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings
from xnas_evaluator.objectives.measure import Measured, measure, plan
from xnas_evaluator.objectives.plan import recorded_introspectability
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_graph, small_spec

ACCURACY = {"name": "accuracy", "direction": "maximize"}
UNPRUNED = {"name": "nas-bench-201", "parameters": {"prune": False}}
ASKED = [name for name, metric in METRICS.items() if metric.on_request]


def _measured(root: Path, net: GraphNetwork | None = None, **fields: Any) -> tuple[Measured, FolderContext]:
    spec = small_spec(**{"objectives": [ACCURACY], **fields})
    context = FolderContext(assignment(), spec, root)
    return measure(context, plan(spec), net or network("trained"), data(), NUMBERS, 1.5), context


def test_without_being_asked_nothing_costs_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("this was not asked for")

    for name in ("live", "logits", "samples", "explanation"):
        monkeypatch.setattr(sharing.Shared, name, never)
    passes: list[object] = []
    original = validation.score

    def counted(*arguments: Any) -> Any:
        passes.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(sharing, "score", counted)
    measured, _ = _measured(tmp_path, objectives=[ACCURACY, {"name": "introspectability", "direction": "maximize"}])
    assert len(passes) == 1
    assert measured.seconds.keys() == {"introspectability"}
    assert not set(ASKED) & set(measured.metrics)
    assert measured.errors.keys() >= {"accuracy", "loss", "generalization_gap"}


def test_every_measure_can_be_an_objective_a_constraint_or_a_metric(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    names = data().class_names
    pairs.write_text("\n".join(f"{a},{b},0.5" for i, a in enumerate(names) for b in names[:i]))
    weighted = "introspectability_weighted"
    small: dict[str, Any] = {"samplesPerClass": 1}
    few = dict.fromkeys(("infidelity", "max_sensitivity", "sparsity", "explainer_agreement"), small)
    few |= {"completeness_error": small, "randomization_sanity": small, weighted: {"similarities": str(pairs)}}
    objectives = [
        ACCURACY,
        *(
            {"name": name, "direction": METRICS[name].direction.value, "parameters": few.get(name, {})}
            for name in ASKED[:4]
        ),
    ]
    further: list[dict[str, Any]] = [
        {"name": f"my_{name}", "metric": name, "parameters": few.get(name, {})} for name in ASKED[4:]
    ]
    bounded = [{"metric": name, "max": 1} for name in ("latency_ms", "futile_share", "my_sparsity")]
    measured, _ = _measured(tmp_path, objectives=objectives, metrics=further, constraints=bounded)
    for name in ASKED:
        assert name in measured.metrics, name
        assert name in measured.errors or name == "activation_calibration", name
    for item in further:
        assert measured.metrics[item["name"]] == measured.metrics[item["metric"]]
        assert measured.errors.get(item["name"]) == measured.errors.get(item["metric"])
    assert json.loads(json.dumps(measured.metrics, allow_nan=False)) == measured.metrics
    assert measured.seconds.keys() == {*ASKED, "latency_ms", "ablation"}
    asked = ("infidelity", "max_sensitivity", "sparsity", "explainer_agreement", "completeness_error")
    own = sum(measured.seconds[name] for name in (*asked, "randomization_sanity", "ablation"))
    assert measured.fixed_seconds == pytest.approx(own)


def test_one_measure_with_several_parameters_and_equal_ones_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    kind = load(PluginKind.OBJECTIVE, "expected_calibration_error")
    original = kind.measure

    def noted(self: Any, view: Measurement) -> Any:
        asked.append(view.parameters)
        return original(self, view)

    monkeypatch.setattr(kind, "measure", noted)
    metrics = [
        {"name": "few", "metric": "expected_calibration_error", "parameters": {"bins": 90}},
        {"name": "default", "metric": "expected_calibration_error"},
        {"name": "fifteen", "metric": "expected_calibration_error", "parameters": {"bins": 15}},
    ]
    measured, context = _measured(tmp_path, metrics=metrics)
    assert asked == [{"bins": 90}, {}]
    assert measured.metrics["few"] == measured.metrics["expected_calibration_error"] != measured.metrics["default"]
    assert measured.metrics["default"] == measured.metrics["fifteen"]
    assert context.reported[-1].step == "measuring expected_calibration_error"


def test_one_explanation_serves_all_measures_of_an_explainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = configured

    def noted(method: str, parameters: Any) -> Any:
        made.append(method)
        return original(method, parameters)

    monkeypatch.setattr(sharing, "configured", noted)
    metrics = [
        {"name": "sparsity"},
        {"name": "completeness_error"},
        {"name": "explainer_agreement", "parameters": {"second": "saliency"}},
        {"name": "other", "metric": "sparsity", "parameters": {"method": "saliency"}},
    ]
    _measured(tmp_path, metrics=metrics)
    assert sorted(made) == ["integratedGradients", "saliency"]


def test_unpruned_every_introspectability_comes_with_its_futile_share(tmp_path: Path) -> None:
    objectives = [
        ACCURACY,
        {
            "name": "introspectability",
            "direction": "maximize",
            "parameters": {"groupBy": "trueClass", "layers": "all"},
        },
        {
            "name": "unused",
            "direction": "maximize",
            "metric": "introspectability",
            "parameters": {"groupBy": "trueClass", "layers": "named", "layerNames": ["off", "cut"]},
        },
    ]
    net = futile_network()
    measured, _ = _measured(tmp_path, net, objectives=objectives, searchSpace=UNPRUNED)
    shares = {name: value for name, value in measured.metrics.items() if name.startswith("futile_share")}
    assert shares["futile_share"] == shares["futile_share_introspectability_true_class"] > 0.01
    assert shares["futile_share_unused"] == 1
    assert measured.errors["futile_share"] > 0
    pruned, _ = _measured(tmp_path, net, objectives=objectives)
    assert not any(name.startswith("futile_share") for name in pruned.metrics)
    assert pruned.metrics["introspectability"] == pytest.approx(measured.metrics["introspectability"], rel=1e-6)


def test_what_is_asked_for_by_name_wins_over_what_comes_along(tmp_path: Path) -> None:
    unused = {"groupBy": "trueClass", "layers": "named", "layerNames": ["off", "cut"]}
    share = {"name": "futile_share", "parameters": unused}
    measured, _ = _measured(tmp_path, futile_network(), metrics=[share], searchSpace=UNPRUNED)
    assert measured.metrics["futile_share"] == 1


def test_a_bound_on_the_share_is_one_on_that_of_the_objective(tmp_path: Path) -> None:
    objective = {"name": "introspectability", "direction": "maximize", "parameters": {"groupBy": "trueClass"}}
    bound = [{"metric": "futile_share", "max": 0.1}]
    measured, _ = _measured(tmp_path, futile_network(), objectives=[ACCURACY, objective], constraints=bound)
    asked, _ = _measured(
        tmp_path, futile_network(), metrics=[{"name": "futile_share", "parameters": {"groupBy": "trueClass"}}]
    )
    assert measured.metrics["futile_share"] == pytest.approx(asked.metrics["futile_share"], rel=1e-6)


class _Both:
    metric = METRICS["loss"].__class__("both", METRICS["loss"].direction, "1", False, False, None, "Test.")

    def check(self, parameters: Any) -> None:
        if parameters:
            raise InvalidInputError("both takes no parameters")

    def measure(self, measurement: Measurement) -> Estimate:
        return Estimate(float(measurement.shared.logits().abs().max()), 0.5)


def test_a_plug_in_may_give_its_error_and_check_its_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: _Both if name == "both" else real(kind, name))
    measured, _ = _measured(tmp_path, metrics=[{"name": "mine", "metric": "both"}])
    assert measured.errors["mine"] == measured.errors["both"] == 0.5
    assert measured.metrics["mine"] > 0
    with pytest.raises(InvalidInputError, match="takes no parameters"):
        plan(small_spec(metrics=[{"name": "both", "parameters": {"a": 1}}]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metrics": [{"name": "sparsity", "parameters": {"method": "salience"}}]}, "salience"),
        ({"metrics": [{"name": "sparsty"}]}, "sparsty"),
        ({"metrics": [{"name": "loss", "parameters": {"bins": 3}}]}, "loss takes no parameters"),
        ({"metrics": [{"name": "adversarial_accuracy", "parameters": {"epsilon": "big"}}]}, "must be a number 0 to 1"),
        ({"constraints": [{"metric": "introspectability_weighted", "min": 0}]}, "pip install nltk"),
        ({"metrics": [{"name": "futile_share", "parameters": {"layers": "named"}}]}, "layerNames must say which"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidInputError, UnknownNameError), match=message):
        plan(small_spec(objectives=[ACCURACY], **fields))


def test_names_of_the_registry_are_those_of_the_metrics() -> None:
    built_in = {name: load(PluginKind.OBJECTIVE, name)() for name in METRICS if name in plugins.names(
        PluginKind.OBJECTIVE
    )}  # fmt: skip
    assert {name for name in METRICS if METRICS[name].on_request} <= built_in.keys()
    for name, found in built_in.items():
        assert found.metric is METRICS[name]
        text = type(found).__doc__ or ""
        for part in ("Range:", "Direction:", "Hypervolume reference:", "Standard error:", "Cost:"):
            assert part in text or (name == "latency_ms" and part == "Formula:"), (name, part)
        assert METRICS[name].direction.value in text
    assert always_recorded("accuracy")
    assert not always_recorded("sparsity")
    assert not always_recorded("unknown")


def test_a_whole_evaluation_records_values_errors_and_times(tmp_path: Path) -> None:
    spec = small_spec(
        objectives=[ACCURACY], training={"epochs": 1}, metrics=[{"name": "mine", "metric": "adversarial_accuracy"}]
    )
    context = FolderContext(assignment(graph=small_graph(side=12).to_document()), spec, tmp_path)
    result = evaluate(context)
    assert result.metrics["mine"] == result.metrics["adversarial_accuracy"]
    assert result.errors["mine"] == result.errors["adversarial_accuracy"]
    assert 0 < result.timings["measure_adversarial_accuracy_seconds"] < result.timings["metrics_seconds"]


def test_what_comes_later_measures_introspectability_as_it_was_recorded() -> None:
    """Named in `metrics` alone it is recorded with these parameters, so diagnosis and refinement have them too."""
    named = [{"name": "inside", "metric": "introspectability", "parameters": {"layers": "all", "groupBy": "trueClass"}}]
    objectives = [ACCURACY, {"name": "macs", "direction": "minimize"}]
    spec = small_spec(objectives=objectives, metrics=named)
    assert recorded_introspectability(spec) == plan(spec).introspectability
    assert recorded_introspectability(spec).layers == "all"
    assert recorded_introspectability(small_spec(objectives=objectives)) == IntrospectabilitySettings()


JUDGES = ("infidelity", "max_sensitivity", "sparsity", "completeness_error", "randomization_sanity")


def test_every_measure_of_an_explainer_uses_the_searchs_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[dict[str, Any]] = []
    original = IntegratedGradientsExplainer.explain

    def noted(self: Any, *others: Any) -> Any:
        used.append({"steps": self.n_steps, "baseline": self.baseline})
        return original(self, *others)

    monkeypatch.setattr(IntegratedGradientsExplainer, "explain", noted)
    wanted = {"steps": 3, "baseline": 0.5}
    small = {"samplesPerClass": 1}
    metrics: list[dict[str, Any]] = [{"name": name, "parameters": small} for name in JUDGES]
    metrics.append({"name": "explainer_agreement", "parameters": {**small, "second": "saliency"}})
    explainers = [{"name": "integratedGradients", "parameters": wanted}]
    ours, _ = _measured(tmp_path, metrics=metrics, explainers=explainers)
    # One is shared; each perturbed copy of max_sensitivity and the random network have one of their own.
    assert len(used) == 1 + 1 + 10 + 1
    assert used == [wanted] * len(used)
    used.clear()
    plain, _ = _measured(tmp_path, metrics=metrics)
    assert {call["steps"] for call in used} == {50}
    for name in (*JUDGES, "explainer_agreement"):
        assert ours.metrics[name] != plain.metrics[name], name


@pytest.mark.parametrize(
    ("explainer", "says"),
    [
        ({"name": "occlusion", "parameters": {"window": 0}}, "occlusion: window is 0, but must be a whole number 1 to"),
        ({"name": "saliency", "parameters": {"steps": 3}}, "saliency has no parameter 'steps'"),
    ],
)
def test_a_wrong_parameter_of_an_explainer_is_found_before_training(explainer: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        plan(small_spec(explainers=[explainer]))
