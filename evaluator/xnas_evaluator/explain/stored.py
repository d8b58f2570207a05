"""Explanations as objects: tensors with what they mean, and the picture. One of each for a method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from xnas_core.errors import IntegrityError, XnasError
from xnas_evaluator.explain.base import Explanation
from xnas_evaluator.explain.panels import Row, panel
from xnas_evaluator.explain.side_by_side import Sample, side_by_side
from xnas_evaluator.explain.tiles import MAX_ROWS
from xnas_evaluator.tensors import pack, unpack

FORMAT = "xnas-explanation/1"
_TITLES = {
    "integratedGradients": "Integrated gradients",
    "saliency": "Saliency",
    "gradCam": "Grad-CAM",
    "guidedGradCam": "Guided Grad-CAM",
    "inputXGradient": "Input x gradient",
    "deepLift": "DeepLIFT",
    "gradientShap": "Gradient SHAP",
    "occlusion": "Occlusion",
    "layerConductance": "Layer conductance",
}


class ExplainerError(XnasError):
    """An explainer returned something that is not an explanation of what it was given."""

    reason = "BadExplanation"


@dataclass(frozen=True)
class Samples:
    """The explained images and what the network says to them; tensors on the CPU.

    Attributes:
        images: (N, C, H, W) uint8, as in the data set.
        labels: (N,) int64, true classes.
        predictions: (N,) int64, predicted classes; these are the ones explained.
        probabilities: (N,) float32, softmax probability of the prediction.
        positions: (N,) int64, where in the validation split they are.
        class_names: by class.
    """

    images: Tensor
    labels: Tensor
    predictions: Tensor
    probabilities: Tensor
    positions: Tensor
    class_names: Sequence[str]


def check(explanation: Explanation, samples: Samples) -> Explanation:
    """Return the explanation on the CPU.

    Raises:
        ExplainerError: a shape is wrong, a value is NaN or infinite, or the parameters are not JSON.
    """
    attributions = explanation.attributions.detach().cpu().float()
    count, channels, height, width = samples.images.shape
    allowed = [(count, c, height, width) for c in (1, channels)]
    if tuple(attributions.shape) not in allowed:
        raise ExplainerError(
            f"attributions have the shape {tuple(attributions.shape)}; "
            f"images of {tuple(samples.images.shape)} need {' or '.join(map(str, dict.fromkeys(allowed)))}"
        )
    deltas = None if explanation.deltas is None else explanation.deltas.detach().cpu().float()
    if deltas is not None and tuple(deltas.shape) != (count,):
        raise ExplainerError(f"deltas have the shape {tuple(deltas.shape)}; {count} images need ({count},)")
    layers = {name: share.detach().cpu().float() for name, share in explanation.layers.items()}
    for name, share in layers.items():
        if tuple(share.shape) != (count,):
            raise ExplainerError(f"layer {name!r} has the shape {tuple(share.shape)}; {count} images need ({count},)")
    checked = {
        "attributions": attributions,
        "deltas": deltas,
        **{f"shares of layer {n!r}": v for n, v in layers.items()},
    }
    for what, values in checked.items():
        if values is not None and not bool(values.isfinite().all()):
            raise ExplainerError(f"some {what} are NaN or infinite")
    try:
        json.dumps(dict(explanation.parameters), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExplainerError(f"its parameters are not plain strings, numbers and booleans ({error})") from error
    return Explanation(attributions, deltas, explanation.parameters, layers)


def tensors(method: str, explanation: Explanation, samples: Samples) -> bytes:
    """Return `explanations/<method>.safetensors`; `read` is its inverse.

    Tensors: attributions, deltas and layers (where the method has them), and inputs (uint8), labels, predictions,
    targets, probabilities and samples (positions in the validation split) as in `Samples`. Layers is (N, L); the
    metadata's `layers` has the L names.
    """
    content = {
        "attributions": explanation.attributions,
        "inputs": samples.images,
        "labels": samples.labels,
        "predictions": samples.predictions,
        # The predicted class is the explained one; a copy, as one tensor may have only one name.
        "targets": samples.predictions.clone(),
        "probabilities": samples.probabilities,
        "samples": samples.positions,
    }
    if explanation.deltas is not None:
        content["deltas"] = explanation.deltas
    if explanation.layers:
        content["layers"] = torch.stack(tuple(explanation.layers.values()), dim=1)
    metadata = {
        "format": FORMAT,
        "method": method,
        "parameters": dict(explanation.parameters),
        "explained": "score of the predicted class before the softmax",
        "classNames": list(samples.class_names),
        "layers": list(explanation.layers),
        "versions": {"torch": torch.__version__, "captum": version("captum")},
    }
    return pack(content, metadata)


def read(data: bytes, what: str = "the explanation") -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """Return tensors and metadata of what `tensors` made.

    Raises:
        IntegrityError: it is torn, altered or something else; `what` names it.
    """
    content, metadata = unpack(data, what)
    if metadata.get("format") != FORMAT:
        raise IntegrityError(f"{what} has the format {metadata.get('format')!r}; this version reads {FORMAT!r}")
    return content, metadata


def picture(method: str, explanation: Explanation, samples: Samples) -> bytes:
    """Return `explanations/<method>.png`: see `panels`. Where there are more samples than rows, all classes show."""
    deltas = explanation.deltas
    rows = [
        Row(
            samples.images[i].numpy(),
            explanation.attributions[i].numpy(),
            samples.class_names[int(samples.labels[i])],
            samples.class_names[int(samples.predictions[i])],
            float(samples.probabilities[i]),
            bool(samples.labels[i] == samples.predictions[i]),
            None if deltas is None else float(deltas[i]),
        )
        for i in _rows(samples.labels.tolist())
    ]
    signed = bool((explanation.attributions < 0).any())
    return panel(_TITLES.get(method, method), rows, signed, explanation.parameters)


def comparison(explanations: Mapping[str, Explanation], samples: Samples) -> bytes:
    """Return `explanations/side-by-side.png`: all methods' maps of the samples that `picture` draws."""
    rows = [
        Sample(
            samples.images[i].numpy(),
            samples.class_names[int(samples.labels[i])],
            samples.class_names[int(samples.predictions[i])],
            float(samples.probabilities[i]),
            bool(samples.labels[i] == samples.predictions[i]),
            [explanation.attributions[i].numpy() for explanation in explanations.values()],
        )
        for i in _rows(samples.labels.tolist())
    ]
    signed = any(bool((explanation.attributions < 0).any()) for explanation in explanations.values())
    return side_by_side([_TITLES.get(method, method) for method in explanations], rows, signed)


def _rows(labels: Sequence[int], most: int = MAX_ROWS) -> list[int]:
    """Return which samples are drawn, in order; of too many, the first of each class, then the second, and so on."""
    seen: dict[int, int] = {}
    turns = []
    for position, label in enumerate(labels):
        turns.append((seen.get(label, 0), position))
        seen[label] = seen.get(label, 0) + 1
    return sorted(position for _, position in sorted(turns)[:most])
