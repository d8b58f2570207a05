"""Trained candidates, each made once and kept: by what it was trained from, and by its canonical identity.

A sitting may end at any time, by its own clock or by force: what is not whole is made again, and nothing is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.experiments.setting import SPLIT_SEED, Setting, Variant, digest, space, spec
from xnas_core.artifacts.keys import RESULT, STATE
from xnas_core.spaces.base import Genes
from xnas_core.tasks import TaskKind, TaskResult, candidate_id, derived_seed
from xnas_evaluator.checkpoints import Checkpoint
from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.measure import measure, plan
from xnas_evaluator.resident import device_data
from xnas_evaluator.stored_checkpoint import read_checkpoint
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.settings import Arithmetic, arithmetic, prepare


class SittingOverError(Exception):
    """The time of this sitting is used up; what was trained is kept."""


@dataclass(frozen=True)
class Trained:
    """A trained candidate.

    Attributes:
        result: of its evaluation; without metrics where training came to NaN, as it would again.
        folder: where its objects lie.
    """

    id: str
    encoding: str
    genes: Genes
    result: TaskResult
    folder: Path

    @property
    def metrics(self) -> Mapping[str, float]:
        """Values by name, static ones included."""
        return self.result.metrics


class Workshop:
    """Trains candidates of one setting and keeps them.

    Args:
        setting: data and sizes.
        cache: the folder that all sittings share.
        minutes: of this sitting; None: until all is done.
        clock: seconds.
    """

    def __init__(
        self, setting: Setting, cache: Path, minutes: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.setting = setting
        self.cache = cache
        self.made = 0
        """Candidates trained in this sitting."""
        self._clock = clock
        self._end = None if minutes is None else clock() + 60 * minutes
        self._known: dict[tuple[Variant, str], Trained] = {}

    def minutes_left(self) -> float | None:
        """Return what is left of this sitting, at least 0; None: it has no end."""
        return None if self._end is None else max(0.0, self._end - self._clock()) / 60

    def check_time(self) -> None:
        """Raise SittingOverError once the sitting's time is used up; call before anything that takes long."""
        if self._end is not None and self._clock() >= self._end:
            raise SittingOverError

    def trained(self, variant: Variant, genes: Genes) -> Trained:
        """Return a candidate, trained now if it was not before.

        Raises:
            SittingOverError: it would have to be trained, and the time is used up.
        """
        identity = candidate_id(space(self.setting, variant).identity(genes))
        if (variant, identity) not in self._known:
            self._known[variant, identity] = self._train(variant, genes, identity)
        return self._known[variant, identity]

    def folder(self, variant: Variant) -> Path:
        """Return where all candidates of a variant lie."""
        return self.cache / f"{self.setting.name}-{digest(self.setting, variant)}"

    def data(self, variant: Variant) -> DeviceData:
        """Return the data set."""
        dataset = spec(self.setting, variant).dataset
        if dataset is None:
            raise ValueError("a setting has a data set")
        return device_data(dataset, SPLIT_SEED, self.cache / "data", "cpu")

    def arithmetic(self, variant: Variant) -> Arithmetic:
        """Return device and precision; one thread, so that results repeat."""
        prepare("cpu", 1)
        return arithmetic("cpu", spec(self.setting, variant).training.precision)

    def checkpoint(self, variant: Variant, candidate: Trained) -> Checkpoint:
        """Return the trained network."""
        context = self._context(variant, candidate.genes, candidate.id)
        digests = {a.name: a.sha256 for a in candidate.result.artifacts}
        prefix = context.assignment.prefix
        return read_checkpoint(prefix, digests, lambda name: context.get(TaskKind.EVALUATE, 1, name))

    def measured(self, variant: Variant, candidate: Trained, network: GraphNetwork) -> Mapping[str, float]:
        """Return the metrics of a network that was made of a candidate's; nothing is kept."""
        context = self._context(variant, candidate.genes, candidate.id)
        return measure(
            context, plan(context.spec), network, self.data(variant), self.arithmetic(variant), train_seconds=0.0
        ).metrics

    def _context(self, variant: Variant, genes: Genes, identity: str) -> FolderContext:
        made = space(self.setting, variant)
        wanted = spec(self.setting, variant)
        task = assignment(
            candidate=identity,
            encoding=made.encoding(genes),
            graph=made.graph(genes).to_document(),
            fidelity=wanted.training.epochs,
            seed=derived_seed(SPLIT_SEED, "train", identity),
            search_id="experiments",
        )
        return FolderContext(task, wanted, self.folder(variant), cache=self.cache / "data")

    def _train(self, variant: Variant, genes: Genes, identity: str) -> Trained:
        context = self._context(variant, genes, identity)
        found = context.get(TaskKind.EVALUATE, 1, RESULT)
        if found is None:
            self.check_time()
            with _alone(self.folder(variant) / "locks" / identity):
                # Another process may have trained it just now.
                found = context.get(TaskKind.EVALUATE, 1, RESULT) or self._made(context)
        result = TaskResult.model_validate_json(found)
        return Trained(identity, context.assignment.encoding, genes, result, context.root)

    def _made(self, context: FolderContext) -> bytes:
        torch.set_num_threads(1)
        result = _evaluated(context).model_dump_json().encode()
        context.store.delete(context.assignment.prefix + STATE)
        # Last: a candidate without it is not whole.
        context.put(RESULT, result)
        self.made += 1
        return result


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _evaluated(context: FolderContext) -> TaskResult:
    try:
        return evaluate(context)
    except NonFiniteError as error:
        return context.assignment.result(environment={"failed": str(error)})
