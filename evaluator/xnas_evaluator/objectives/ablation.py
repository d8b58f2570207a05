"""Which activations the class scores depend on: each is left out in turn, and the change of the scores is looked at.

An activation that is not on a path to the output is futile, and so is one whose path multiplies it by (nearly)
nothing, such as a batch norm whose weights were trained to zero: only trying finds those. Yet it counts for
introspectability, so a network can score by activations that it does not use (Carmichael et al. 2023 call such blocks
futile).

What is left out is replaced by its mean over the samples, so that nothing of what tells samples apart remains, or by
zero. A change counts relative to how much the scores differ between samples; a shift of all of a sample's scores, to
which softmax is blind, is no change. Ablation as a test of use: Meyes et al. 2019, "Ablation Studies in Artificial
Neural Networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from xnas_core.api.declared import Settings
from xnas_core.graph import Op
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.training.settings import Arithmetic

BUDGET_BYTES = 1 << 28
"""Values of one chunk of samples that are kept while activations are left out."""
_FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class AblationSettings:
    """How it is decided; see `metric_parameters` for bounds and defaults.

    Attributes:
        tolerance: a change up to this share of the scores' spread is none.
        by_zero: what is left out becomes zero, not its mean.
        samples: how many it is tried on.
    """

    tolerance: float = 0.01
    by_zero: bool = False
    samples: int = 128

    @staticmethod
    def of(settings: Settings) -> AblationSettings:
        """Read a metric's settings."""
        by_zero = settings.word("replaceBy") == "zero"
        return AblationSettings(settings.number("tolerance"), by_zero, settings.whole("ablationSamples"))


class Ablation:
    """Runs a network with some activations left out, from where they are on only. No hooks: nothing to clean up.

    Args:
        network: on the device, in eval mode.
        images: (N, C, H, W) z-scored.
        arithmetic: precision of the passes.
        names: operations that will be left out.
        by_zero: what is left out becomes zero, not its mean over the images.
    """

    @torch.inference_mode()
    def __init__(
        self, network: GraphNetwork, images: Tensor, arithmetic: Arithmetic, names: Sequence[str], by_zero: bool
    ) -> None:
        self._network, self._arithmetic = network, arithmetic
        self._nodes = network.graph.nodes
        self._output = self._nodes[-1].name
        size = sum(prod(shape) for shape in network.graph.shapes.values()) * _FLOAT32
        self._chunks = torch.split(images, max(1, BUDGET_BYTES // size))
        self._reached = _reaching(network)
        sums: dict[str, Tensor] = {}
        scores = []
        for chunk in self._chunks:
            values = self._run({}, {}, chunk)
            scores.append(values[self._output].float())
            for name in names:
                sums[name] = sums.get(name, 0.0) + values[name].float().sum(0, keepdim=True)
        self._instead = {name: total * (0.0 if by_zero else 1 / len(images)) for name, total in sums.items()}
        self._scores = torch.cat(scores)
        centred = _centred(self._scores)
        self._spread = float((centred - centred.mean(0)).square().mean().sqrt())

    @torch.inference_mode()
    def changes(self, groups: Sequence[Sequence[str]]) -> Tensor:
        """Return, for each group of operations left out together, the change of the class scores.

        Root mean square over samples and classes of the change of the centred scores (minus each sample's mean over
        classes), divided by the root mean square of what the centred scores differ from their mean over samples.
        Groups without a path to the output change nothing and are not run.

        Returns:
            (groups,) float64; infinite where the scores do not differ at all and yet change.
        """
        squares = torch.zeros(len(groups), dtype=torch.float64)
        start = 0
        for chunk in self._chunks:
            values = self._run({}, {}, chunk)
            before = _centred(self._scores[start : start + len(chunk)])
            for index, group in enumerate(groups):
                if any(name in self._reached for name in group):
                    replaced = {n: self._instead[n].to(values[n].dtype).expand_as(values[n]) for n in group}
                    after = self._run(replaced, values, chunk)[self._output].float()
                    squares[index] += (_centred(after) - before).double().square().sum().cpu()
            start += len(chunk)
        changes = (squares / self._scores.numel()).sqrt()
        if self._spread == 0:
            return torch.where(changes > 0, torch.inf, 0.0)
        return changes / self._spread

    def _run(self, replaced: Mapping[str, Tensor], known: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        """Return values by name: of all operations where none are known, else of those that change, and the output."""
        found: dict[str, Tensor] = dict(replaced)
        with self._arithmetic.autocast():
            for node in self._nodes:
                if node.name in found or (known and not any(name in found for name in node.inputs)):
                    continue
                inputs = [found[name] if name in found else known[name] for name in node.inputs] or [images]
                found[node.name] = self._network.get_submodule(node.name)(*inputs)
        if self._output not in found:
            found[self._output] = known[self._output]
        return found


def live_activations(
    network: GraphNetwork, images: Tensor, arithmetic: Arithmetic, names: Sequence[str], settings: AblationSettings
) -> frozenset[str]:
    """Return those of the named operations that the class scores depend on.

    Each is left out by itself; those that change the scores by at most `tolerance` are futile. As several could do the
    same work, and then none of them would be missed alone, they are left out together, too: of those with the largest
    changes, as many are live after all as it takes for the rest not to be missed (found by halving).

    Args:
        network: on the device, in eval mode.
        images: (N, C, H, W) z-scored.
        arithmetic: precision of the passes.
        names: operations of the network.
        settings: how it is decided.
    """
    if not names:
        return frozenset()
    ablation = Ablation(network, images, arithmetic, names, settings.by_zero)
    changes = ablation.changes([[name] for name in names])
    order = torch.argsort(changes, stable=True).tolist()
    small = [names[index] for index in order if changes[index] <= settings.tolerance]
    low, high = 0, len(small)
    while low < high:
        tried = high if low == 0 and high == len(small) else (low + high + 1) // 2
        if float(ablation.changes([small[:tried]])) <= settings.tolerance:
            low = tried
        else:
            high = tried - 1
    return frozenset(names) - frozenset(small[:low])


def _centred(scores: Tensor) -> Tensor:
    return scores - scores.mean(1, keepdim=True)


def _reaching(network: GraphNetwork) -> frozenset[str]:
    """Return the operations from which a path leads to the output that no zeroising operation cuts."""
    nodes = network.graph.nodes
    found = {nodes[-1].name}
    for node in reversed(nodes):
        if node.name in found and node.op is not Op.ZERO:
            found.update(node.inputs)
    return frozenset(found)
