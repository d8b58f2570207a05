"""docs/evaluators.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from xnas_core.api import ArchitectureSearch
from xnas_core.api.status import ConditionReason
from xnas_operator.manifests import EvaluatorDefaults, evaluator_job
from xnas_operator.manifests.job import LEFT_BY_ITSELF
from xnas_operator.manifests.pod import MARGIN_SECONDS, REQUESTS, USER

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluators.md").read_text(encoding="utf-8")


def job(evaluators: dict[str, Any]) -> dict[str, Any]:
    document = {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": "fashion", "namespace": "team-a", "uid": "u"},
        "spec": {
            "searchSpace": {"name": "nas-bench-201"},
            "dataset": {"name": "digits"},
            "objectives": [{"name": "accuracy", "direction": "maximize"}],
            "limits": {"maxEvaluations": 8},
            "evaluators": evaluators,
        },
    }
    search = ArchitectureSearch.model_validate_json(json.dumps(document))
    return evaluator_job(search, EvaluatorDefaults("h:1", "i"))


def test_the_first_example_makes_a_job() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    made = job(yaml.safe_load(block)["spec"]["evaluators"])
    assert made["spec"]["parallelism"] == 4
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1, "memory": "32Gi"}


@pytest.mark.parametrize("start", ["volumes: [", "serviceAccountName: ", "tolerations: [", "initContainers: ["])
def test_each_recipe_is_a_template(start: str) -> None:
    (recipe,) = re.findall(rf"\| `({re.escape(start)}[^`]*)`", PAGE)
    key = start.partition(":")[0]
    template = yaml.safe_load(recipe.replace("name: …", "name: helper").replace(", …", ""))
    pod = job({"template": {"spec": template}})["spec"]["template"]["spec"]
    wanted = template[key]
    assert pod[key] == wanted if isinstance(wanted, str) else all(item in pod[key] for item in wanted)


def test_the_names_and_numbers_are_the_codes() -> None:
    why = PAGE.partition("## Why nothing runs")[2]
    reasons = re.findall(r"`([A-Z][A-Za-z]+)`", why.partition("|---|---|")[2])
    assert len(reasons) > 10
    assert set(reasons) <= {reason.value for reason in ConditionReason}
    assert f"user | {USER}" in PAGE
    assert f"drain time + {MARGIN_SECONDS} s" in PAGE
    assert REQUESTS == {"cpu": "500m", "memory": "1Gi"}
    assert "500m CPU, 1 GiB" in PAGE
    said = PAGE.partition("Exit codes:")[2].partition("\n\n")[0]
    assert all(re.search(rf"\b{code}\b", said) for code in (0, 2, 5, *LEFT_BY_ITSELF))
