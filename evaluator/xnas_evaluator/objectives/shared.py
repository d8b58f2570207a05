"""What several measures of one candidate need, computed once: validation passes, samples to explain, attributions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

import torch
from torch import Tensor

from xnas_core.api.base import ParameterValue
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import derived_seed
from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.explain.base import Explainer, Explanation
from xnas_evaluator.explain.configured import configured
from xnas_evaluator.explain.samples import choose_samples
from xnas_evaluator.networks.build import GraphNetwork, Layers, activation_layers
from xnas_evaluator.objectives.ablation import AblationSettings, live_activations
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings
from xnas_evaluator.objectives.validation import PLAIN_BATCH, Scores, score, spread
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.settings import Arithmetic

Key = TypeVar("Key")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Explained:
    """Samples to explain.

    Attributes:
        images: (N, C, H, W) float32, z-scored, on the device.
        targets: (N,) int64, the predicted class of each.
    """

    images: Tensor
    targets: Tensor


class Shared:
    """Computes on the first call and keeps the result. Not for several threads.

    Args:
        network: on the device, in eval mode.
        data: on the same device.
        arithmetic: device, precision and memory layout.
        seed: `spec.seed`.
        explainers: parameters of the explainers that have any, by name.
    """

    def __init__(
        self,
        network: GraphNetwork,
        data: DeviceData,
        arithmetic: Arithmetic,
        seed: int,
        explainers: Mapping[str, Mapping[str, ParameterValue]] = MappingProxyType({}),
    ) -> None:
        self._network, self._data, self._arithmetic, self._seed = network, data, arithmetic, seed
        self._parameters = explainers
        self._scores: dict[tuple[Layers, int], tuple[frozenset[str] | None, Scores]] = {}
        self._live: dict[tuple[Layers, AblationSettings], frozenset[str]] = {}
        self._logits: Tensor | None = None
        self._samples: dict[tuple[int, int], Explained] = {}
        self._explanations: dict[tuple[str, int, int], Explanation] = {}

    def scores(self, settings: IntrospectabilitySettings, live: frozenset[str] | None = None) -> Scores:
        """Return accuracy, loss and class distances over the validation split.

        Args:
            settings: layers and samples; both groupings are there.
            live: names of live activations, for `Scores.live_distances`.

        Raises:
            NonFiniteError: a class score is NaN or infinite.
        """
        key = (settings.layers, settings.max_samples)
        kept = self._scores.get(key)
        if kept is None or live not in (None, kept[0]):
            part, data = self._data.validation, self._data
            found = score(self._network, part, data, self._arithmetic, settings.layers, settings.max_samples, live)
            kept = self._scores[key] = (live, found)
        return kept[1]

    def live(self, layers: Layers, settings: AblationSettings) -> frozenset[str]:
        """Return the names of those activations that the class scores depend on (`live_activations`)."""

        def find() -> frozenset[str]:
            part, data = self._data.validation, self._data
            order = torch.argsort(part.labels, stable=True)
            chosen = order[spread(len(order), settings.samples).to(order.device)]
            images = data.normalise(part.images.index_select(0, chosen))
            images = images.contiguous(memory_format=self._arithmetic.memory_format)
            names = tuple(activation_layers(self._network, layers))
            return live_activations(self._network, images, self._arithmetic, names, settings)

        return _once(self._live, (layers, settings), find)

    def logits(self) -> Tensor:
        """Return the class scores (N, K) float32 of the validation split, in its order.

        Raises:
            NonFiniteError: one is NaN or infinite.
        """
        if self._logits is None:
            self._logits = self._run(self._data.validation.images, self._arithmetic)
        return self._logits

    def samples(self, per_class: int, seed: int) -> Explained:
        """Return validation samples, `per_class` of each class, the same ones for every candidate of a search."""

        def choose() -> Explained:
            part = self._data.validation
            drawn = choose_samples(part.labels.cpu().numpy(), per_class, derived_seed(self._seed, "measure", seed))
            raw = part.images.index_select(0, torch.from_numpy(drawn).to(part.labels.device))
            # In float32, as attributions are: targets and explained scores come from the same arithmetic.
            targets = self._run(raw, replace(self._arithmetic, dtype=torch.float32)).argmax(1)
            return Explained(self._data.normalise(raw), targets)

        return _once(self._samples, (per_class, seed), choose)

    def explanation(self, method: str, per_class: int, seed: int) -> Explanation:
        """Return what an explainer says of `samples`, for the predicted classes.

        Raises:
            NotApplicableError: the method has no meaning for this network.
            InvalidInputError: the explainer gave something else than finite attributions of the images' size.
        """

        def make() -> Explanation:
            return self.explain(method, self._network, self.samples(per_class, seed), seed)

        return _once(self._explanations, (method, per_class, seed), make)

    def explain(self, method: str, network: GraphNetwork, samples: Explained, seed: int) -> Explanation:
        """Return what an explainer, with the search's parameters for it, says of any network and samples.

        Args:
            method: name of an explainer.
            network: in eval mode; a copy is explained, so that nothing is left on it.
            samples: images and the class to explain for each.
            seed: the measure's; the same one gives the same random numbers as in `explanation`.

        Raises:
            NotApplicableError: the method has no meaning for this network.
            InvalidInputError: it gave something else than finite attributions of the images' size, or a parameter is
                wrong.
        """
        explainer = configured(method, self._parameters.get(method, {}))
        return _explained(method, explainer, network, samples, self.explainer_seed(method, seed))

    def explainer_seed(self, method: str, seed: int) -> int:
        """Return the seed that an explainer is given."""
        return derived_seed(self._seed, "measure", seed, method)

    @torch.no_grad()
    def _run(self, raw: Tensor, arithmetic: Arithmetic) -> Tensor:
        found = []
        for part in torch.split(raw, PLAIN_BATCH):
            images = self._data.normalise(part).contiguous(memory_format=arithmetic.memory_format)
            with arithmetic.autocast():
                found.append(self._network(images).float())
        logits = torch.cat(found)
        if not bool(logits.isfinite().all()):
            raise NonFiniteError("a class score is NaN or infinite")
        return logits


def _explained(method: str, explainer: Explainer, network: GraphNetwork, samples: Explained, seed: int) -> Explanation:
    found = explainer.explain(copy.deepcopy(network), samples.images.clone(), samples.targets.clone(), seed)
    count, channels, height, width = samples.images.shape
    shape = tuple(found.attributions.shape)
    if shape not in ((count, channels, height, width), (count, 1, height, width)):
        raise InvalidInputError(
            f"the explainer {method} gave attributions {shape} of images {tuple(samples.images.shape)}"
        )
    if not bool(found.attributions.isfinite().all()):
        raise InvalidInputError(f"the explainer {method} gave attributions that are NaN or infinite")
    return found


def _once(kept: dict[Key, Kept], key: Key, make: Callable[[], Kept]) -> Kept:
    if key not in kept:
        kept[key] = make()
    return kept[key]
