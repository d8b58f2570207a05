"""The contract of explainers lets the documented plug-in pass and finds each kind of mistake."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xnas_core.testing.docs_example import load_example
from xnas_evaluator.explain import Explainer, Explanation
from xnas_evaluator.explain.base import undisturbed
from xnas_evaluator.explain.input_x_gradient import InputXGradientExplainer
from xnas_evaluator.testing_explainers import ExplainerContract
from xnas_evaluator.testing_sampled_networks import Drawn, drawn, sampled

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "explainer.md"
CELL = Drawn("nas-bench-201", True, 0)
TESTS = [
    "test_attributions_fit_the_images",
    "test_attributions_add_up",
    "test_a_second_call_gives_the_same",
    "test_an_image_does_not_depend_on_the_others",
    "test_memory_stays_below_the_budget",
    "test_the_smallest_budget_still_works",
    "test_a_failure_leaves_nothing_behind",
]


def test_the_list_of_tests_is_whole() -> None:
    found = {name for name in vars(ExplainerContract) if name.startswith("test_")}
    assert found == {*TESTS, "test_it_says_where_it_does_not_apply"}


@pytest.mark.parametrize("which", drawn(1, 0), ids=str)
def test_the_page_s_own_contract_passes(which: Drawn) -> None:
    with load_example(PAGE, "xnas.explainers", "smoothGrad"):
        contract = importlib.import_module("test_smooth_grad").TestSmoothGrad()
        assert isinstance(contract, ExplainerContract)
        for name in TESTS:
            getattr(contract, name)(sampled(which))


class _Faulty(InputXGradientExplainer):
    """Whole as it is; each fault spoils one thing."""

    def __init__(self, fault: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.fault = fault

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        if self.fault == "budget":
            self.budget_bytes = 2**40
        if self.fault == "training":
            found = super().explain(network, inputs, targets, seed)
            network.train()
            return found
        if self.fault == "hook":
            handle = network.register_forward_hook(lambda *_: None)
            found = super().explain(network, inputs, targets, seed)
            handle.remove()
            return found
        if self.fault == "swallowed":
            try:
                return super().explain(network, inputs, targets, seed)
            except Exception:  # noqa: BLE001  the fault that is tested
                return Explanation(torch.zeros_like(inputs))
        if self.fault == "frozen":
            with undisturbed(network):
                found = super().explain(network, inputs, targets, seed)
            next(network.parameters()).requires_grad_(True)
            return found
        return self._spoiled(super().explain(network, inputs, targets, seed), inputs)

    def _spoiled(self, found: Explanation, inputs: Tensor) -> Explanation:
        values = found.attributions
        spoiled: dict[str, Callable[[], Tensor]] = {
            "nan": lambda: values / 0.0 * 0.0,
            "shape": lambda: values[:, :, 1:],
            "double": lambda: values.to(torch.float64),
            "zero": lambda: values * 0,
            "batch": lambda: values - values.mean(0),
            "random": lambda: values + 0.01 * torch.rand(()),
            "place": lambda: values * torch.arange(1, len(values) + 1).view(-1, 1, 1, 1),
        }
        if self.fault == "inputs":
            inputs += 1
        return Explanation(spoiled[self.fault]()) if self.fault in spoiled else found


class _FaultyContract(ExplainerContract):
    fault = ""

    def explainer(self, **settings: Any) -> Explainer:
        return _Faulty(self.fault, **settings)


FAULTS = {
    "nan": "test_attributions_fit_the_images",
    "shape": "test_attributions_fit_the_images",
    "double": "test_attributions_fit_the_images",
    "zero": "test_attributions_fit_the_images",
    "training": "test_attributions_fit_the_images",
    "frozen": "test_attributions_fit_the_images",
    "batch": "test_an_image_does_not_depend_on_the_others",
    "place": "test_an_image_does_not_depend_on_the_others",
    "random": "test_a_second_call_gives_the_same",
    "budget": "test_memory_stays_below_the_budget",
    "hook": "test_a_failure_leaves_nothing_behind",
    "swallowed": "test_a_failure_leaves_nothing_behind",
}


@pytest.mark.parametrize(("fault", "test"), FAULTS.items())
def test_each_fault_is_found(fault: str, test: str) -> None:
    contract = type(f"Contract of {fault}", (_FaultyContract,), {"fault": fault})()
    with pytest.raises(AssertionError):
        getattr(contract, test)(sampled(CELL))


def test_altered_inputs_are_found() -> None:
    contract = type("Contract of inputs", (_FaultyContract,), {"fault": "inputs"})()
    case = sampled(CELL)
    whole = case.images.clone()
    with pytest.raises(AssertionError, match="images changed"):
        contract.test_attributions_fit_the_images(case)
    case.images.copy_(whole)


def test_a_promise_that_is_not_kept_is_found() -> None:
    kept = type("Contract without fault", (_FaultyContract,), {})()
    kept.test_attributions_add_up(sampled(CELL))
    promised = type("Contract that promises", (_FaultyContract,), {"completeness": 0.01})()
    with pytest.raises(AssertionError):
        promised.test_attributions_add_up(sampled(CELL))


def test_a_method_that_applies_where_it_said_it_would_not_is_found() -> None:
    contract = type("Contract that declines", (_FaultyContract,), {"applies": lambda *_: False})()
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_it_says_where_it_does_not_apply(CELL)
