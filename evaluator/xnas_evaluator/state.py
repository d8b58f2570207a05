"""Training state: everything that the next epoch depends on, in one object, so that another attempt can go on.

The random choices of an epoch follow from the training seed and the epoch's number, so no generator is stored.
All tensors of one type lie in one: a state is written after every epoch, and many small tensors would cost more than
a small network's epoch is worth. Order and shapes follow from the network, which the fingerprint names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xnas_core.errors import IntegrityError
from xnas_evaluator.tensors import pack, unpack
from xnas_evaluator.training.optimisation import Optimiser


@dataclass(frozen=True)
class StateHeader:
    """What a state says of itself.

    Attributes:
        fingerprint: of network, data and training settings; a state is only for an equal one.
        epoch: epochs done.
        seconds: training time so far, all attempts together.
        scaler: scale and good steps of the loss scaler (float16 only).
    """

    fingerprint: str
    epoch: int
    seconds: float
    scaler: tuple[float, int] | None


@dataclass(frozen=True)
class TrainingState:
    """A state as read: header and, for each type, all values in order."""

    header: StateHeader
    tensors: dict[str, Tensor]


def dump(header: StateHeader, network: nn.Module, optimiser: Optimiser) -> bytes:
    """Return the state as a safetensors object."""
    joined = {
        kind: torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        for kind, tensors in _by_type(network, optimiser).items()
    }
    metadata = {
        "fingerprint": header.fingerprint,
        "epoch": header.epoch,
        "seconds": header.seconds,
        "scaler": header.scaler,
    }
    return pack(joined, metadata)


def read(data: bytes) -> TrainingState:
    """Return the state.

    Raises:
        IntegrityError: it is torn, altered or something else.
    """
    tensors, metadata = unpack(data, "the training state")
    try:
        kept = metadata["scaler"]
        scaler = None if kept is None else (float(kept[0]), int(kept[1]))
        header = StateHeader(str(metadata["fingerprint"]), int(metadata["epoch"]), float(metadata["seconds"]), scaler)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise IntegrityError(f"the training state has no whole header ({error})") from error
    return TrainingState(header, tensors)


@torch.no_grad()
def restore(state: TrainingState, network: nn.Module, optimiser: Optimiser) -> None:
    """Put the state into a network and an optimiser that were built from the same settings.

    Raises:
        IntegrityError: it is of another network or optimiser; nothing was changed.
    """
    own = _by_type(network, optimiser)
    sizes = {kind: sum(tensor.numel() for tensor in tensors) for kind, tensors in own.items()}
    if sizes != {kind: values.numel() for kind, values in state.tensors.items()}:
        raise IntegrityError("the training state does not fit the network and its optimiser")
    for kind, tensors in own.items():
        parts = torch.split(state.tensors[kind], [tensor.numel() for tensor in tensors])
        for tensor, values in zip(tensors, parts, strict=True):
            tensor.copy_(values.view(tensor.shape))


def _by_type(network: nn.Module, optimiser: Optimiser) -> dict[str, list[Tensor]]:
    """Return weights, buffers and what the optimiser remembers, by element type, in a fixed order."""
    kinds: dict[str, list[Tensor]] = {}
    slots = (tensor for name in sorted(optimiser.slots) for tensor in optimiser.slots[name])
    for tensor in (*network.parameters(), *network.buffers(), *slots):
        kinds.setdefault(str(tensor.dtype).removeprefix("torch."), []).append(tensor)
    return kinds
