"""A trained network from an output folder or a search on a cluster: `load_model(place, candidate_id)`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from xnas_core.errors import InvalidInputError
from xnas_core.tasks import TaskKind
from xnas_evaluator.checkpoints import Checkpoint
from xnas_evaluator.locating import Located, locate, not_kept, trained
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.sources import SearchSource
from xnas_evaluator.stored_checkpoint import CheckpointMissingError, read_checkpoint


class TrainedNetwork(GraphNetwork):
    """A trained network in eval mode; every convolution and activation is a submodule of its own.

    Attributes:
        classes: names of its outputs, in order.
        candidate_id: the candidate it is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint: Checkpoint, candidate_id: str) -> None:
        super().__init__(checkpoint.network.graph)
        self.load_state_dict(checkpoint.network.state_dict())
        self.classes = checkpoint.class_names
        self.candidate_id = candidate_id
        # Not persistent: the state dict stays that of the checkpoint. As buffers they move with `.to(device)`.
        self.register_buffer("mean", torch.tensor(checkpoint.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(checkpoint.std).view(1, -1, 1, 1), persistent=False)
        self.eval()

    def normalise(self, images: Tensor) -> Tensor:
        """Return what the network takes, (N, C, H, W) float32, of images (N, C, H, W) with values 0 to 255.

        Raises:
            InvalidInputError: the shape is not the network's.
        """
        expected = self.graph.input_shape
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise InvalidInputError(
                f"images must have the shape (N, {', '.join(map(str, expected))}), not {tuple(images.shape)}"
            )
        return (images.to(self.mean.device, torch.float32) - self.mean) / self.std


def load_model(place: str | Path | SearchSource, candidate_id: str, *, refined: bool = False) -> TrainedNetwork:
    """Return a candidate's trained network, on the CPU, in eval mode.

    It takes normalised images and gives class scores: `network(network.normalise(images))`. Nothing is unpickled.

    Args:
        place: the output folder of `xnas run`, or a search on a cluster: `client.search(namespace, name)` of an
            `xnas_core.client.SearchClient`. While the search runs or afterwards.
        candidate_id: for example "c0123456789ab"; the front's are in front.csv.
        refined: the network after `xnas refine`, the last time if several; else the one that the search scored.

    Raises:
        InvalidInputError: the folder holds no search, or the search has no such candidate.
        CheckpointMissingError: it has not been trained yet, failed, or its checkpoint was not kept.
        IntegrityError: a stored object is torn or altered; the message names it.
        XnasError: the search on a cluster can't be read; the sentence says why.
    """
    kind = TaskKind.REFINE if refined else TaskKind.EVALUATE
    return TrainedNetwork(load_checkpoint(locate(place, candidate_id), kind), candidate_id)


def load_checkpoint(located: Located, kind: TaskKind = TaskKind.EVALUATE) -> Checkpoint:
    """Return the checkpoint that `load_model` is made from; see there for errors."""
    source = trained(located, kind)
    try:
        return read_checkpoint(
            source.prefix, source.digests, lambda name: _object(located.source, source.prefix + name)
        )
    except CheckpointMissingError as error:
        raise not_kept(located.record.id) from error


def _object(source: SearchSource, key: str) -> bytes | None:
    try:
        return source.get(key)
    except KeyError:
        return None
