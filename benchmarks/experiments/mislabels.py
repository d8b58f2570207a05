"""A network trained on labels of which a fifth is wrong on purpose: does it tell which?

Carmichael et al. 2023, section 4. A wrong label is another class, drawn evenly; each network sees the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.experiments.setting import SPLIT_SEED, Variant, space, spec
from benchmarks.experiments.workshop import Trained, Workshop
from xnas_core.tasks import derived_seed, generator
from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.diagnosis.detection import detect
from xnas_evaluator.diagnosis.gather import Subject, gather
from xnas_evaluator.networks.build import build
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings
from xnas_evaluator.training.device_data import DevicePart
from xnas_evaluator.training.loop import Trainer

SHARE = 0.2


@dataclass(frozen=True)
class WrongLabels:
    """How well wrong labels are found.

    Attributes:
        by_activation: AUC by similarity to the mean of the given label.
        by_softmax: AUC by the softmax probability of the given label.
        curve: share found in the lowest 0, 1 ... 100 % by similarity; empty where training came to NaN.
    """

    by_activation: float | None
    by_softmax: float | None
    curve: tuple[float, ...]


def corrupt(
    labels: npt.NDArray[np.int64], classes: int, share: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return labels of which a share is replaced by another class, and which these are."""
    random = generator(seed, "mislabels")
    wrong = np.zeros(len(labels), dtype=bool)
    wrong[random.permutation(len(labels))[: round(share * len(labels))]] = True
    other = (labels + random.integers(1, classes, len(labels))) % classes
    return np.where(wrong, other, labels).astype(np.int64), wrong


def find_wrong_labels(workshop: Workshop, variant: Variant, candidate: Trained) -> WrongLabels:
    """Train the candidate's network on corrupted labels and rank the training samples."""
    data, numbers = workshop.data(variant), workshop.arithmetic(variant)
    given, wrong = corrupt(data.train.labels.numpy(), len(data.class_names), SHARE, SPLIT_SEED)
    corrupted = replace(data, train=DevicePart(data.train.images, torch.from_numpy(given)))
    training = spec(workshop.setting, variant).training
    seed = derived_seed(SPLIT_SEED, "train", candidate.id)
    network = build(space(workshop.setting, variant).graph(candidate.genes), seed)
    trainer = Trainer(network, corrupted, training, seed, numbers)
    try:
        while trainer.epoch < training.epochs:
            trainer.run_epoch()
    except NonFiniteError:
        return WrongLabels(None, None, ())
    network.eval()
    subject = Subject(network, corrupted, numbers, IntrospectabilitySettings().layers)
    seen = gather(subject, corrupted.train, "trueClass")
    flags = wrong[seen.positions]
    activation = detect(seen.similarity, flags)
    softmax = detect(_own_label(subject, corrupted.train)[seen.positions], flags)
    return WrongLabels(
        activation.auc if activation else None, softmax.auc if softmax else None, activation.found if activation else ()
    )


@torch.inference_mode()
def _own_label(subject: Subject, part: DevicePart) -> npt.NDArray[np.float64]:
    """Return the softmax probability (N,) of each sample's given label."""
    rows = [
        subject.logits(part, chosen).double().softmax(1).gather(1, part.labels[chosen].unsqueeze(1)).squeeze(1)
        for chosen in torch.split(torch.arange(len(part)), 256)
    ]
    return torch.cat(rows).numpy()
