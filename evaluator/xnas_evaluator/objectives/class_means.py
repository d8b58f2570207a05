"""Class means of all activations from one pass, in memory that does not depend on the number of samples.

Only what a non-linear operation puts out has to be summed sample by sample. Convolutions, batch norm (in eval mode),
average pools, sums and linear layers are affine: the mean of their outputs is their output on the mean. So the pass
sums few tensors, and at the end one small pass sends the class means through the affine operations. Equal
operations on equal input (the ReLUs of all edges that leave one node of a cell) are summed once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from xnas_core.graph import ACTIVATIONS, Graph, Op
from xnas_evaluator.networks.build import GraphNetwork, Layers, activation_layers
from xnas_evaluator.objectives.introspectability import GroupBy
from xnas_evaluator.training.settings import Arithmetic

BATCH_BYTES = 1 << 28
"""Activations of one batch that are kept until its predictions are known."""
MAX_BATCH = 256

_SUMMED = ACTIVATIONS | {Op.MULTIPLY, Op.MAX_POOL, Op.INPUT}
"""Not affine, or not computed from anything."""
_WITH_WEIGHTS = frozenset({Op.CONV, Op.BATCH_NORM, Op.LINEAR})


class ClassMeans:
    """Running sums by true and by predicted class; a context manager that owns the hooks.

    Within it, run the network (in eval mode) on a batch, then call `add` with the batch's classes.
    """

    def __init__(self, network: GraphNetwork, classes: int, layers: Layers, arithmetic: Arithmetic) -> None:
        """Allocate the sums.

        Args:
            network: on the device.
            classes: number of classes K.
            layers: whose outputs count.
            arithmetic: device, precision and memory layout.
        """
        self._network = network
        self._classes = classes
        # In the graph's order: the order of a set differs between processes, and with it the last bit of a sum.
        self._counted = tuple(activation_layers(network, layers))
        self._channels_last = arithmetic.channels_last
        self._representative = representatives(network.graph)
        nodes = network.graph.nodes
        self._summed = [n.name for n in nodes if n.op in _SUMMED and self._representative[n.name] == n.name]
        shapes = network.graph.shapes
        self._sizes = [torch.Size(shapes[name]).numel() for name in self._summed]
        device = arithmetic.device
        self._sums: dict[GroupBy, list[Tensor]] = {
            "trueClass": [torch.zeros((classes, size), device=device) for size in self._sizes],
            "predictedClass": [torch.zeros((classes, size), device=device) for size in self._sizes],
        }
        self._counts: dict[GroupBy, Tensor] = {
            "trueClass": torch.zeros(classes, dtype=torch.int64, device=device),
            "predictedClass": torch.zeros(classes, dtype=torch.int64, device=device),
        }
        self._outputs: list[Tensor] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> ClassMeans:
        self._handles = [self._network.get_submodule(n).register_forward_hook(self._keep) for n in self._summed]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._outputs.clear()

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._outputs.append(output)

    @property
    def batch_size(self) -> int:
        """Samples a batch such that the activations kept stay below BATCH_BYTES."""
        return max(1, min(MAX_BATCH, BATCH_BYTES // (4 * sum(self._sizes))))

    def add(self, labels: Tensor, predictions: Tensor) -> None:
        """Add the batch that the network has just seen.

        Args:
            labels: (N,) true classes.
            predictions: (N,) predicted classes.
        """
        # One sum for each (true, predicted) pair in the batch, then a few rows go to both groupings: where samples
        # come sorted by class there are few pairs, and every activation is read once.
        pairs, group = torch.unique(labels * self._classes + predictions, return_inverse=True)
        true, predicted = pairs // self._classes, pairs % self._classes
        self._counts["trueClass"] += torch.bincount(labels, minlength=self._classes)
        self._counts["predictedClass"] += torch.bincount(predictions, minlength=self._classes)
        for index, output in enumerate(self._outputs):
            rows = _rows(output, self._channels_last)
            sums = rows.new_zeros((len(pairs), rows.shape[1])).index_add_(0, group, rows)
            self._sums["trueClass"][index].index_add_(0, true, sums)
            self._sums["predictedClass"][index].index_add_(0, predicted, sums)
        self._outputs.clear()

    def gram(self, group_by: GroupBy, among: Collection[str] | None = None) -> Tensor:
        """Return the (K, K) inner products of the class means over all counted layers joined, float64 on the CPU.

        Args:
            group_by: which classes.
            among: names of the counted layers to join; all when absent.

        Returns:
            Rows and columns of classes without a sample are zero.
        """
        counts = self._counts[group_by]
        present = counts.nonzero().flatten()
        inner = torch.zeros((len(present), len(present)), dtype=torch.float64, device=counts.device)
        names = [name for name in self._counted if among is None or name in among]
        values = self._values(self._sums[group_by], counts, present)
        for mean in (values[name] for name in names):
            flat = mean.flatten(1).double()
            inner += flat @ flat.T
        gram = torch.zeros((self._classes, self._classes), dtype=torch.float64)
        where = present.cpu()
        gram[where.unsqueeze(1), where.unsqueeze(0)] = inner.cpu()
        return gram

    def means(self, group_by: GroupBy, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the class means of nodes by name, (K, *shape of the node) float32 on the device.

        Classes without a sample have zeros.
        """
        counts = self._counts[group_by]
        present = counts.nonzero().flatten()
        values = self._values(self._sums[group_by], counts, present)
        result = {}
        for name in names:
            result[name] = values[name].new_zeros((self._classes, *values[name].shape[1:]))
            result[name][present] = values[name]
        return result

    def _values(self, sums: Sequence[Tensor], counts: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Return the class means of every node by name, (K present, ...)."""
        graph = self._network.graph
        position = {name: index for index, name in enumerate(self._summed)}
        values: dict[str, Tensor] = {}
        for node in graph.nodes:
            if node.op in _SUMMED:
                mean = sums[position[self._representative[node.name]]][present] / counts[present].unsqueeze(1)
                values[node.name] = _images(mean, graph.shapes[node.name], self._channels_last)
            else:
                module = self._network.get_submodule(node.name)
                values[node.name] = module(*[values[name] for name in node.inputs])
        return values


def representatives(graph: Graph) -> dict[str, str]:
    """Return, for each node, the first node with the same value: equal operations without weights on equal input."""
    first: dict[tuple[object, ...], str] = {}
    found: dict[str, str] = {}
    for node in graph.nodes:
        if node.op in _WITH_WEIGHTS:
            found[node.name] = node.name
            continue
        key = (node.op, tuple(found[name] for name in node.inputs), tuple(sorted(node.attributes.items())))
        found[node.name] = first.setdefault(key, node.name)
    return found


def _rows(output: Tensor, channels_last: bool) -> Tensor:
    """Return (N, D) float32 activations in the order in which they lie in memory, so without a copy."""
    return (output.permute(0, 2, 3, 1) if channels_last and output.dim() == 4 else output).flatten(1).float()


def _images(rows: Tensor, shape: Sequence[int], channels_last: bool) -> Tensor:
    """Inverse of `_rows`: (K, D) -> (K, *shape)."""
    if channels_last and len(shape) == 3:
        channels, height, width = shape
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return rows.view(-1, *shape)
