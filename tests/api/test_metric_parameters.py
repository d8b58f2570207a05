"""Parameters of metrics, further metrics of a search, and what follows from them before anything is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api import resolve_paths
from xnas_core.api.declared import Kind
from xnas_core.api.metric_parameters import METRIC_PARAMETERS, read_parameters
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.validate import check_document
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS, futile_share_of, meaning, spec_metrics
from xnas_core.plugins import PluginKind, names
from xnas_core.search.acceptance import lacking

ACCURACY = {"name": "accuracy", "direction": "maximize"}


def _spec(**fields: Any) -> ArchitectureSearchSpec:
    document = {"searchSpace": {"name": "nas-bench-201"}, "dataset": {"name": "digits"}, "objectives": [ACCURACY]}
    return ArchitectureSearchSpec.model_validate({**document, **fields}, strict=False)


def test_every_default_is_allowed() -> None:
    for metric, parameters in METRIC_PARAMETERS.items():
        assert metric in METRICS
        read_parameters(metric, {})
        for name, about in parameters.items():
            if about.default not in ("", ()):
                assert about.wrong(about.default) is None, (metric, name)
            assert about.description
            assert about.allowed
            if about.kind is Kind.EXPLAINER:
                assert about.default in names(PluginKind.EXPLAINER)


def test_settings_have_defaults_and_what_was_given() -> None:
    settings = read_parameters("infidelity", {"amount": 1, "method": "saliency"})
    assert settings.number("amount") == 1.0
    assert settings.word("method") == "saliency"
    assert settings.whole("perturbations") == 16
    assert read_parameters("introspectability", {"layerNames": ["a", "b"]}).words("layerNames") == ("a", "b")


@pytest.mark.parametrize(
    ("metric", "parameters", "says"),
    [
        ("accuracy", {"top": 5}, "accuracy takes no parameters; remove 'top'"),
        ("sparsity", {"samples": 5}, r"'samples'; did you mean 'samplesPerClass'\? \(known: method, samplesPerClass,"),
        ("sparsity", {"samplesPerClass": 0}, "whole number 1 to 1,000"),
        ("sparsity", {"samplesPerClass": True}, "whole number 1 to 1,000"),
        ("sparsity", {"samplesPerClass": 2.0}, "whole number 1 to 1,000"),
        ("sparsity", {"method": 3}, "must be an explainer's name"),
        ("futile_share", {"tolerance": float("nan")}, "must be a number 0 to 1"),
        ("futile_share", {"replaceBy": "max"}, "must be mean or zero"),
        ("introspectability", {"layerNames": "stage1"}, "must be a list of texts"),
        ("introspectability", {"layerNames": []}, "must be a list of texts"),
        ("introspectability_weighted", {"similarities": ""}, "must be the path of a file"),
    ],
)
def test_what_is_wrong_is_said(metric: str, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        read_parameters(metric, parameters)


@given(st.sampled_from(sorted(METRIC_PARAMETERS)), st.dictionaries(st.text(max_size=9), st.integers() | st.text()))
def test_any_parameters_are_read_or_refused(metric: str, parameters: dict[str, Any]) -> None:
    refused = False
    try:
        read_parameters(metric, parameters)
    except InvalidInputError:
        refused = True
    assert refused or set(parameters) <= METRIC_PARAMETERS[metric].keys()


def test_paths_start_at_the_folder_of_the_file() -> None:
    weighted = {"name": "w", "metric": "introspectability_weighted", "parameters": {"similarities": "pairs.csv"}}
    spec = _spec(metrics=[weighted, {"name": "sparsity", "parameters": {"method": "saliency"}}])
    resolved = resolve_paths(spec, Path("/work"))
    assert resolved.metrics[0].parameters == {"similarities": "/work/pairs.csv"}
    assert resolved.metrics[1] == spec.metrics[1]
    assert resolve_paths(resolved, Path("/elsewhere")) == resolved


def test_an_evaluator_has_to_know_measures_and_the_explainers_that_they_judge() -> None:
    spec = _spec(
        metrics=[{"name": "a", "metric": "sparsity", "parameters": {"method": "deepLift"}}],
        constraints=[{"metric": "infidelity", "max": 1}, {"metric": "loss", "max": 1}, {"metric": "a", "min": 0}],
        explanations={"scope": "none"},
    )
    assert lacking(spec, {"dataset/digits"}) == [
        "objective sparsity",
        "objective infidelity",
        "explainer deepLift",
        "explainer integratedGradients",
    ]
    known = {f"objective/{name}" for name in names(PluginKind.OBJECTIVE)}
    known |= {f"explainer/{name}" for name in names(PluginKind.EXPLAINER)}
    assert lacking(spec, {"dataset/digits", *known}) == []
    assert lacking(_spec(explanations={"scope": "none"}), {"dataset/digits"}) == []


def test_derived_names_have_a_meaning() -> None:
    spec = _spec(metrics=[{"name": "mine", "metric": "latency_ms"}])
    known = spec_metrics(spec)
    assert known == {"accuracy": "accuracy", "mine": "latency_ms"}
    assert meaning("mine", known) is METRICS["latency_ms"]
    assert meaning("test_accuracy") is METRICS["accuracy"]
    assert meaning("introspectability_true_class") is METRICS["introspectability"]
    assert meaning(futile_share_of("introspectability")) is METRICS["futile_share"]
    assert meaning(futile_share_of("mine")) is METRICS["futile_share"]
    assert meaning("unheard_of") is None


def test_further_metrics_are_ignored_where_nothing_is_trained(tmp_path: Path) -> None:
    spec = {
        "searchSpace": {"name": "nas-bench-201"},
        "objectives": [{"name": "macs", "direction": "minimize"}],
        "metrics": [{"name": "sparsity"}],
        "limits": {"maxEvaluations": 300},
    }
    document = {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "metadata": {"name": "a"}}
    search, findings = check_document({**document, "spec": spec}, tmp_path)
    assert search is not None
    assert [finding.message for finding in findings] == [
        "is ignored: without a dataset nothing is trained, so nothing can be measured"
    ]
