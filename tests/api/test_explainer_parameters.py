"""What `xnas validate` and the operator say of explainers' parameters, beyond the rows of bad files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api.explainer_parameters import EXPLAINER_PARAMETERS, by_name, merged, read_built_in
from xnas_core.api.explaining import ExplainerSpec
from xnas_core.api.problems import Severity
from xnas_core.api.semantics import Finding
from xnas_core.api.validate import check_document
from xnas_core.errors import InvalidInputError
from xnas_core.testing.docs_example import load_example

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "plugins" / "explainer.md"


def _findings(folder: Path, *, here: bool = True, **fields: Any) -> list[Finding]:
    spec = {
        "searchSpace": {"name": "nas-bench-201"},
        "dataset": {"name": "digits"},
        "objectives": [{"name": "accuracy", "direction": "maximize"}],
        "limits": {"maxEvaluations": 100},
    }
    document = {"apiVersion": "xnas.dev/v1alpha1", "kind": "ArchitectureSearch", "metadata": {"name": "a"}}
    return check_document({**document, "spec": {**spec, **fields}}, folder, here=here)[1]


def _of(explainer: str, **parameters: Any) -> list[dict[str, Any]]:
    return [{"name": explainer, "parameters": parameters}]


@pytest.mark.parametrize("here", [True, False], ids=["xnas validate", "operator"])
def test_built_in_explainers_are_checked_everywhere(here: bool, tmp_path: Path) -> None:
    assert _findings(tmp_path, here=here, explainers=_of("gradCam", layer="stage2", preferredSide=8)) == []
    (wrong,) = _findings(tmp_path, here=here, explainers=_of("gradCam", preferedSide=8))
    assert (wrong.path, wrong.suggestion) == (
        ("spec", "explainers", 0, "parameters", "preferedSide"),
        "preferredSide",
    )
    (wrong,) = _findings(tmp_path, here=here, explainers=_of("gradCam", preferredSide=1))
    assert wrong.message == "is 1, but must be a whole number 2 to 1,024"


def test_a_plug_ins_parameters_are_checked_where_it_is_installed(tmp_path: Path) -> None:
    explanations = {"methods": ["smoothGrad"]}

    def said(here: bool = True, **parameters: Any) -> list[tuple[Any, str]]:
        found = _findings(tmp_path, here=here, explainers=_of("smoothGrad", **parameters), explanations=explanations)
        return [(finding.path[4:], finding.message) for finding in found]

    with load_example(PAGE, "xnas.explainers", "smoothGrad"):
        assert said(copies=3) == []
        ((path, message),) = said(copys=3)
        assert path == ("copys",)
        assert 'did you mean "copies"?' in message
        assert said(copies=0) == [((), "smoothGrad needs at least 1 copy, not 0")]
        assert said(copies="x") != []
    assert said(here=False, copys=3) == []


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"explanations": {"methods": ["occlusion"]}}, False),
        ({"explanations": {"methods": ["occlusion"], "scope": "none"}}, True),
        ({"explanations": {"methods": ["saliency"]}}, True),
        ({"metrics": [{"name": "sparsity", "parameters": {"method": "occlusion"}}]}, False),
        ({"metrics": [{"name": "sparsity"}]}, True),
    ],
)
def test_parameters_that_nothing_uses_are_warned_of(fields: dict[str, Any], warned: bool, tmp_path: Path) -> None:
    found = _findings(tmp_path, explainers=_of("occlusion", window=2), **fields)
    assert [finding.severity for finding in found] == [Severity.WARNING] * warned
    assert all("neither explanations nor a built-in metric uses occlusion" in finding.message for finding in found)


def test_parameters_of_a_request_come_before_those_of_the_search() -> None:
    search = by_name([ExplainerSpec(name="a", parameters={"x": 1, "y": 2}), ExplainerSpec(name="b")])
    assert merged(search, {"a": {"y": 3}, "c": {"z": 4}}) == {"a": {"x": 1, "y": 3}, "c": {"z": 4}}
    assert merged(search, {}) == search == {"a": {"x": 1, "y": 2}}


def test_the_pages_example_is_right_and_its_table_names_every_parameter(tmp_path: Path) -> None:
    section = DOCS.joinpath("explainers.md").read_text(encoding="utf-8").partition("## Parameters")[2]
    example = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])
    assert {item["name"] for item in example["explainers"]} == {"integratedGradients", "occlusion"}
    # Windows of 4 pixels fit any of the known data.
    assert _findings(tmp_path, **example) == []
    table = [line for line in section.splitlines() if line.startswith("| `")]
    for explainer, known in EXPLAINER_PARAMETERS.items():
        row = next((line for line in table if f"`{explainer}`" in line), "")
        assert {name for name in known if f"`{name}`" not in row} == {"budgetMiB"}, explainer


@given(st.sampled_from(sorted(EXPLAINER_PARAMETERS)), st.dictionaries(st.text(max_size=9), st.integers() | st.text()))
def test_any_parameters_are_read_or_refused(explainer: str, parameters: dict[str, Any]) -> None:
    refused = False
    try:
        read_built_in(explainer, parameters)
    except InvalidInputError:
        refused = True
    assert refused or set(parameters) <= EXPLAINER_PARAMETERS[explainer].keys()
