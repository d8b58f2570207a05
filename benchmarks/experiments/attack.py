"""Experiment (d), second part: networks that are made to claim more, without a change in any class score.

A search meets few futile blocks that pay, so the metric is gamed on purpose: of a trained network only the weights that
no class score depends on are trained on, to separate classes by the regulariser's term over all activations. Scores and
accuracy stay what they are to the last bit; what a guard sees of the rest is what it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.experiments.gaming import FLAGGED, OPEN
from benchmarks.experiments.publishing import Cell, Series, Table, write_figure
from benchmarks.experiments.searching import search
from benchmarks.experiments.setting import SPLIT_SEED, UNPRUNED
from benchmarks.experiments.statistics import mean_with_interval
from benchmarks.experiments.workshop import Trained, Workshop
from xnas_core.tasks import generator
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.regulariser import captured, similarity_penalty

EPOCHS = 30
LEARNING_RATE = 0.02
BATCH = 128
SHOWN = {
    "accuracy": "accuracy",
    "introspectability": "introspectability as claimed",
    "introspectability_live": "introspectability of live activations",
    "futile_share": "futile share",
}
"""Metrics that are compared, and what the table calls them."""


@dataclass(frozen=True)
class Attacked:
    """Metrics of one network before and after, by name; `moved` is the largest change of a class score."""

    id: str
    before: dict[str, float]
    after: dict[str, float]
    moved: float


def attack(workshop: Workshop, folder: Path) -> None:
    """Attack the networks of the unguarded searches that have weights to do it with."""
    setting = workshop.setting
    everyone = {c.id: c for seed in setting.seeds for c in search(workshop, OPEN, seed).candidates}
    attacked: list[Attacked] = []
    for candidate in sorted(everyone.values(), key=lambda c: c.id):
        if len(attacked) == setting.studied:
            break
        found = attacked_one(workshop, candidate)
        if found is not None:
            attacked.append(found)
    _publish(workshop, folder, attacked, list(everyone.values()))


def attacked_one(workshop: Workshop, candidate: Trained) -> Attacked | None:
    """Return what becomes of a network's claims; None where every weight matters, or training came to NaN."""
    if "introspectability" not in candidate.metrics:
        return None
    workshop.check_time()
    data = workshop.data(UNPRUNED)
    workshop.arithmetic(UNPRUNED)  # one thread from here on
    network = workshop.checkpoint(UNPRUNED, candidate).network.eval()
    weights = futile_weights(network, data)
    if not weights:
        return None
    images = data.normalise(data.validation.images)
    with torch.no_grad():
        scores = network(images)
    train_on(network, weights, data)
    with torch.no_grad():
        moved = float((network(images) - scores).abs().max())
    after = workshop.measured(UNPRUNED, candidate, network)
    return Attacked(candidate.id, _chosen(candidate.metrics), _chosen(after), moved)


def futile_weights(network: GraphNetwork, data: DeviceData) -> list[nn.Parameter]:
    """Return the weights of layers on which no class score depends: those that no gradient of the scores reaches."""
    torch.autograd.backward(network(data.normalise(data.train.images[:BATCH])).square().sum())
    futile = [weight for weight in network.parameters() if weight.grad is None or not weight.grad.any()]
    network.zero_grad(set_to_none=True)
    return futile


def train_on(network: GraphNetwork, weights: Sequence[nn.Parameter], data: DeviceData) -> None:
    """Train these weights alone to separate classes; in eval mode, so that no running mean moves either."""
    for weight in network.parameters():
        weight.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    optimiser = torch.optim.Adam(weights, lr=LEARNING_RATE)
    random = generator(SPLIT_SEED, "attack")
    classes = len(data.class_names)
    with captured(network) as activations:
        for _ in range(EPOCHS):
            order = torch.from_numpy(random.permutation(len(data.train)))
            for chosen in torch.split(order, BATCH):
                activations.clear()
                network(data.normalise(data.train.images[chosen]))
                optimiser.zero_grad()
                penalty = similarity_penalty(activations, data.train.labels[chosen], classes)
                torch.autograd.backward(penalty)
                optimiser.step()


def _chosen(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: metrics.get(name, float("nan")) for name in SHOWN}


def _publish(workshop: Workshop, folder: Path, attacked: Sequence[Attacked], everyone: Sequence[Trained]) -> None:
    name = workshop.setting.name
    sides = [one.before for one in attacked], [one.after for one in attacked]
    before, after = ({metric: np.array([one[metric] for one in side]) for metric in SHOWN} for side in sides)
    rows: list[list[Cell]] = [
        [what, mean_with_interval(before[metric]), mean_with_interval(after[metric])] for metric, what in SHOWN.items()
    ]
    flags = [(values["futile_share"] > FLAGGED).sum() for values in (before, after)]
    rows.append(["flagged by the constraint", f"{flags[0]} of {len(attacked)}", f"{flags[1]} of {len(attacked)}"])
    honest = max((c.metrics.get("introspectability", 0.0) for c in everyone), default=0.0)
    over = after["introspectability"] > honest
    notes = [
        f"{name}: {len(attacked)} networks, the first by id of those without a guard that have weights on which no "
        f"class score depends. These weights alone are trained for {EPOCHS} epochs on the regulariser's term. "
        "Brackets: 95 % t intervals over networks.",
        f"The class scores of the validation split move by {max((o.moved for o in attacked), default=0.0):g} at most.",
        f"After the attack {over.sum()} of {len(attacked)} claim more than any of the {len(everyone)} networks that "
        f"the searches evaluated without a guard ({honest:.4f}). The constraint (futile share at most {FLAGGED:g}) "
        f"flags {(over & (after['futile_share'] > FLAGGED)).sum()} of these {over.sum()}; the live value of "
        f"{(after['introspectability_live'] > honest).sum()} is above it. Networks that are pruned before they are "
        "built have no such weights.",
    ]
    title = "Claims that change no class score"
    Table(f"attack-{name}", title, ("mean", "as trained", "attacked"), rows, notes).write(folder)
    series = [
        Series(label, values["introspectability"], values["introspectability_live"], dots=True)
        for label, values in (("as trained", before), ("attacked", after))
    ]
    axes = ("introspectability as claimed", "of live activations")
    write_figure(folder / f"attack-{name}.svg", title, *axes, series)
