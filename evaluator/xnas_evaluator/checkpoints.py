"""Checkpoints: a trained network as safetensors, and a JSON manifest that is all it takes to use it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST
from xnas_core.errors import IntegrityError, InvalidInputError
from xnas_core.graph import Graph
from xnas_core.tasks import Artifact
from xnas_evaluator.context import TaskContext
from xnas_evaluator.networks.build import GraphNetwork, build
from xnas_evaluator.training.device_data import DeviceData

FORMAT = "xnas-checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is needed to use it.

    Attributes:
        network: on the CPU, in eval mode.
        class_names: in the order of its outputs.
        mean: by channel, in 0..255; an input is (pixel - mean) / std.
        std: by channel, in 0..255.
        manifest: the whole manifest.
    """

    network: GraphNetwork
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    manifest: Mapping[str, Any]


def write(
    context: TaskContext, network: GraphNetwork, data: DeviceData, metrics: Mapping[str, float], epochs: int
) -> tuple[Artifact, Artifact]:
    """Store weights and manifest below the attempt's prefix, the weights first.

    Returns:
        The two artifacts.

    Raises:
        StoreError: the store refused.
    """
    weights = save({name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()})
    stored = context.put(CHECKPOINT, weights)
    assignment = context.assignment
    manifest = {
        "format": FORMAT,
        "candidate": assignment.candidate_id,
        "encoding": assignment.encoding,
        "seed": assignment.seed,
        "epochs": epochs,
        "weights": {"name": stored.name, "size": stored.size, "sha256": stored.sha256},
        "graph": network.graph.to_document(),
        "graphSha256": network.graph.digest,
        "classNames": list(data.class_names),
        "normalisation": {"mean": data.mean.flatten().tolist(), "std": data.std.flatten().tolist()},
        "dataset": {"name": data.name, "sha256": data.digest},
        "metrics": dict(metrics),
        "torch": torch.__version__,
    }
    document = json.dumps(manifest, sort_keys=True, indent=1).encode()
    return stored, context.put(CHECKPOINT_MANIFEST, document)


def read(manifest: bytes, weights: bytes) -> Checkpoint:
    """Return the trained network.

    Args:
        manifest: content of checkpoint.json.
        weights: content of checkpoint.safetensors.

    Raises:
        IntegrityError: one of them is torn, altered or alien, or they do not belong together.
    """
    try:
        document = json.loads(manifest)
        if document["format"] != FORMAT:
            raise IntegrityError(
                f"checkpoint.json has the format {document['format']!r}; this version reads {FORMAT!r}"
            )
        digest = hashlib.sha256(weights).hexdigest()
        if digest != document["weights"]["sha256"]:
            raise IntegrityError("checkpoint.safetensors does not fit the digest in checkpoint.json; one was altered")
        graph = Graph.from_document(document["graph"])
        if graph.digest != document["graphSha256"]:
            raise IntegrityError("the graph in checkpoint.json does not fit its digest")
        normalisation = document["normalisation"]
        checkpoint = Checkpoint(
            build(graph),
            tuple(str(name) for name in document["classNames"]),
            tuple(float(value) for value in normalisation["mean"]),
            tuple(float(value) for value in normalisation["std"]),
            document,
        )
    except (KeyError, TypeError, ValueError, InvalidInputError) as error:
        raise IntegrityError(f"checkpoint.json is torn or not a checkpoint's manifest ({error})") from error
    _load(checkpoint.network, weights)
    return checkpoint


def _load(network: GraphNetwork, weights: bytes) -> None:
    try:
        tensors: dict[str, Tensor] = load(weights)
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise IntegrityError(f"checkpoint.safetensors does not fit the network ({str(error)[:300]})") from error
    network.eval()
