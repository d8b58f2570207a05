"""Every built-in explainer on random networks of every space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xnas_core.graph import ACTIVATIONS, Graph, Op
from xnas_core.plugins import PluginKind, load, names
from xnas_evaluator.explain import Explainer
from xnas_evaluator.testing_explainers import ExplainerContract, contracts
from xnas_evaluator.testing_sampled_networks import Sampled


class _BuiltIn(ExplainerContract):
    method = ""

    def explainer(self, **settings: Any) -> Explainer:
        explainer: Explainer = load(PluginKind.EXPLAINER, self.method)(**settings)
        return explainer


class TestIntegratedGradients(_BuiltIn):
    method = "integratedGradients"
    quick = {"n_steps": 6}
    thorough = {"n_steps": 300}
    completeness = 0.01


class TestSaliency(_BuiltIn):
    method = "saliency"


class TestInputXGradient(_BuiltIn):
    method = "inputXGradient"


class TestDeepLift(_BuiltIn):
    method = "deepLift"
    completeness = 1e-5


class TestGradientShap(_BuiltIn):
    """In expectation: with many draws and little noise, deltas and the score of the baselines are close to it."""

    method = "gradientShap"
    quick = {"n_samples": 5}
    thorough = {"n_samples": 1200}
    completeness = 0.1

    def nothing(self, case: Sampled) -> Tensor:
        source = torch.Generator().manual_seed(99)
        noise = torch.randn((2000, *case.images.shape[1:]), generator=source)
        with torch.no_grad():
            scores: Tensor = case.network(noise).mean(0)[case.targets]
        return scores


class TestGradCam(_BuiltIn):
    method = "gradCam"


class TestGuidedGradCam(_BuiltIn):
    method = "guidedGradCam"

    def applies(self, graph: Graph) -> bool:
        return not any(node.op in ACTIVATIONS - {Op.RELU} for node in graph.nodes)


class TestOcclusion(_BuiltIn):
    method = "occlusion"
    quick = {"window": 4, "stride": 3}


class TestLayerConductance(_BuiltIn):
    method = "layerConductance"
    quick = {"n_steps": 5}
    thorough = {"n_steps": 300}
    completeness = 0.02


def test_every_registered_explainer_is_held_to_the_contract() -> None:
    held = {contract.method for contract in contracts() if issubclass(contract, _BuiltIn) and contract.method}
    assert held == set(names(PluginKind.EXPLAINER))
