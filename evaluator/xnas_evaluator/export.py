"""Export a trained network for use without XNAS, as torch.export (.pt2) and ONNX, each checked before it is kept.

What is exported takes normalised images, (N, C, H, W) float32 with any N, and gives class scores (N, classes), as
`load_model` does. Class names, mean and standard deviation travel in the file, as JSON under the name `xnas`.

Nothing is unpickled: `torch.export.load` unpickles example inputs and tensor subclasses only, and the files written
here hold neither. It is called on bytes made a moment ago, never on a file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError, StoreError, UnknownNameError, XnasError
from xnas_evaluator.loading import TrainedNetwork, load_checkpoint
from xnas_evaluator.locating import locate, validation_images
from xnas_evaluator.sources import SearchSource

TOLERANCE = 1e-4
"""Largest difference of a class score that is taken for rounding, as a share of the largest score's magnitude."""
_ONNX_LIMIT = 2**31 - 1
_METADATA = "xnas"

Scores = npt.NDArray[np.float32]


class ExportMismatchError(XnasError):
    """An exported model does not give what the network gives."""

    reason = "ExportMismatch"


@dataclass(frozen=True)
class ExportedFile:
    """One file that was written, after it was loaded again and gave the same class scores.

    Attributes:
        format: "torch" or "onnx".
        size: in bytes.
        sha256: hex digest.
        max_abs_difference: largest difference of a class score over all samples, in its own unit.
    """

    format: str
    path: Path
    size: int
    sha256: str
    max_abs_difference: float


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        samples: number of real validation samples that each file was checked on.
    """

    candidate_id: str
    samples: int
    files: tuple[ExportedFile, ...]


def export_model(
    place: str | Path | SearchSource,
    candidate_id: str,
    destination: str | Path,
    formats: Sequence[str] = ("torch", "onnx"),
) -> ExportReport:
    """Export a candidate to `<destination>/<candidate_id>.pt2` and `.onnx`; existing files of that name are replaced.

    Args:
        place: the output folder of `xnas run`, or a search on a cluster (see `load_model`).
        candidate_id: the candidate; its checkpoint must have been kept.
        destination: a folder; made if absent.
        formats: "torch", "onnx" or both.

    Raises:
        InvalidInputError: an unknown format or candidate, no checkpoint, or nothing to check the files on.
        IntegrityError: the checkpoint is torn or altered.
        ExportMismatchError: a file gave other scores than the network; it is not left behind.
        StoreError: the destination can't be written to.
    """
    chosen = list(dict.fromkeys(formats))
    for name in chosen:
        if name not in _FORMATS:
            raise UnknownNameError("export format", name, list(_FORMATS))
    if not chosen:
        raise InvalidInputError(f"no export format was given (known: {', '.join(_FORMATS)})")
    located = locate(place, candidate_id)
    checkpoint = load_checkpoint(located)
    network = TrainedNetwork(checkpoint, candidate_id)
    images = network.normalise(validation_images(located))
    metadata = {
        "candidate": candidate_id,
        "classes": list(checkpoint.class_names),
        "normalisation": {"mean": list(checkpoint.mean), "std": list(checkpoint.std), "input": "(pixel - mean) / std"},
    }
    files = []
    for name in chosen:
        ending, convert, run = _FORMATS[name]
        data = convert(checkpoint.network, images, json.dumps(metadata, sort_keys=True))
        difference = _checked(name, run, data, checkpoint.network, images)
        path = _written(Path(destination), f"{candidate_id}{ending}", data)
        files.append(ExportedFile(name, path, len(data), hashlib.sha256(data).hexdigest(), difference))
    return ExportReport(candidate_id, len(images), tuple(files))


def _checked(
    name: str, run: Callable[[bytes, Tensor], Scores], data: bytes, network: nn.Module, images: Tensor
) -> float:
    """Return the largest difference of a score; the batch is cut unevenly, so that any batch size must work."""
    with torch.no_grad():
        expected = network(images).numpy()
    parts = [images[:1], images[1:]] if len(images) > 1 else [images]
    found = np.concatenate([run(data, part) for part in parts])
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    # Negated, so that NaN is refused too.
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ExportMismatchError(
            f"the {name} export gives other class scores than the network (largest difference {difference:.3g} over "
            f"{len(images)} samples); nothing was written"
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporters say to their own developers; filters are given back afterwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnx|onnxscript)\b")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|onnx|onnxscript)\b")
        yield


def _program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    # Two samples: torch.export takes a size of 1 for a constant.
    example = torch.zeros_like(images[:1]).repeat(2, 1, 1, 1)
    return torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))


def _to_torch(network: nn.Module, images: Tensor, metadata: str) -> bytes:
    with _quiet():
        program = _program(network, images)
        # Example inputs are the one thing that is always pickled.
        program.example_inputs = None
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={_METADATA: metadata})
    return buffer.getvalue()


def _run_torch(data: bytes, images: Tensor) -> Scores:
    with _quiet(), torch.no_grad():
        scores: Scores = torch.export.load(io.BytesIO(data)).module()(images).numpy()
    return scores


def _to_onnx(network: nn.Module, images: Tensor, metadata: str) -> bytes:
    with _quiet():
        program = torch.onnx.export(
            _program(network, images), input_names=["images"], output_names=["scores"], dynamo=True, verbose=False
        )
        if program is None:
            raise ExportMismatchError("the ONNX exporter returned nothing; nothing was written")
        program.model.metadata_props[_METADATA] = metadata
        proto = program.model_proto
    if proto.ByteSize() > _ONNX_LIMIT:
        raise InvalidInputError("an ONNX file ends at 2 GiB and this network is larger; use the format torch")
    return bytes(proto.SerializeToString(deterministic=True))


def _run_onnx(data: bytes, images: Tensor) -> Scores:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    scores: Scores = session.run(["scores"], {"images": images.numpy()})[0]
    return scores


_FORMATS: dict[str, tuple[str, Callable[[nn.Module, Tensor, str], bytes], Callable[[bytes, Tensor], Scores]]] = {
    "torch": (".pt2", _to_torch, _run_torch),
    "onnx": (".onnx", _to_onnx, _run_onnx),
}


def _written(folder: Path, name: str, data: bytes) -> Path:
    """Write a file whole or not at all."""
    path = folder / name
    temporary = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; choose another destination") from error
    return path
