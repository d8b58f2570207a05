"""Training state: everything that the next epoch depends on, in one object, so that another attempt can go on.

The random choices of an epoch follow from the training seed and the epoch's number, so no generator is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """A state as read: header and tensors by name."""

    header: StateHeader
    tensors: dict[str, Tensor]


def dump(header: StateHeader, network: nn.Module, optimiser: Optimiser) -> bytes:
    """Return the state as a safetensors object."""
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, slot in optimiser.slots.items():
        tensors |= {f"optimizer.{name}.{index}": tensor for index, tensor in enumerate(slot)}
    metadata = {
        "fingerprint": header.fingerprint,
        "epoch": header.epoch,
        "seconds": header.seconds,
        "scaler": header.scaler,
    }
    return pack(tensors, metadata)


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
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"the training state has no whole header ({error})") from error
    return TrainingState(header, tensors)


def restore(state: TrainingState, network: nn.Module, optimiser: Optimiser) -> None:
    """Put the state into a network and an optimiser that were built from the same settings.

    Raises:
        IntegrityError: names or shapes do not fit.
    """
    model = {name.removeprefix("model."): t for name, t in state.tensors.items() if name.startswith("model.")}
    try:
        network.load_state_dict(model)
        for name, slot in optimiser.slots.items():
            for index, tensor in enumerate(slot):
                tensor.copy_(state.tensors[f"optimizer.{name}.{index}"])
    except (RuntimeError, KeyError) as error:
        raise IntegrityError(f"the training state does not fit the network ({error})") from error
