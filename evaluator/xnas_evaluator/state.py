"""Training state: everything that the next epoch depends on, in one object, so that another attempt can go on.

The random choices of an epoch follow from the training seed and the epoch's number, so no generator is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xnas_core.errors import IntegrityError
from xnas_evaluator.tensors import pack, unpack


@dataclass(frozen=True)
class StateHeader:
    """What a state says of itself.

    Attributes:
        fingerprint: of network, data and training settings; a state is only for an equal one.
        epoch: epochs done.
        seconds: training time so far, all attempts together.
        scaler: scale and growth counter of the loss scaler (float16 only), else empty.
    """

    fingerprint: str
    epoch: int
    seconds: float
    scaler: dict[str, float]


@dataclass(frozen=True)
class TrainingState:
    """A state as read: header and tensors by name."""

    header: StateHeader
    tensors: dict[str, Tensor]


def dump(header: StateHeader, network: nn.Module, optimiser: torch.optim.Optimizer) -> bytes:
    """Return the state as a safetensors object."""
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, parameter in enumerate(_parameters(optimiser)):
        for key, value in optimiser.state[parameter].items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
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
        scaler = {str(key): float(value) for key, value in metadata["scaler"].items()}
        header = StateHeader(str(metadata["fingerprint"]), int(metadata["epoch"]), float(metadata["seconds"]), scaler)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"the training state has no whole header ({error})") from error
    return TrainingState(header, tensors)


def restore(state: TrainingState, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put the state into a network and an optimiser that were built from the same settings.

    Raises:
        IntegrityError: names or shapes do not fit.
    """
    model = {name.removeprefix("model."): t for name, t in state.tensors.items() if name.startswith("model.")}
    parameters = _parameters(optimiser)
    try:
        network.load_state_dict(model)
        for name, tensor in state.tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                parameter = parameters[int(index)]
                # The layout of the parameter (channels_last) is kept, as the fused kernels want it.
                kept = torch.empty_like(parameter) if tensor.shape == parameter.shape else tensor.to(parameter.device)
                optimiser.state[parameter][key] = kept.copy_(tensor)
    except (RuntimeError, IndexError, ValueError) as error:
        raise IntegrityError(f"the training state does not fit the network ({error})") from error


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
