"""Where a candidate's trained network lies in a search, and what its bytes have to be: the journal says."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST, explanation
from xnas_core.errors import IntegrityError, InvalidInputError, UnknownNameError
from xnas_core.search.view import CandidateRecord, CandidateState, SearchView, StoredArtifact
from xnas_core.tasks import TaskKind
from xnas_evaluator.datasets.cache import default_cache
from xnas_evaluator.datasets.load import load
from xnas_evaluator.explain.stored import read as read_explanation
from xnas_evaluator.sources import SearchSource, as_source
from xnas_evaluator.stored_checkpoint import CheckpointMissingError

_SHOWN = 8
_EXPLANATIONS, _, _TENSORS = explanation("*", ".safetensors").partition("*")
DATA_SAMPLES = 64
"""Validation samples that are taken from the data set where none are stored."""


@dataclass(frozen=True)
class Located:
    """A candidate of a search, and where the search is read."""

    source: SearchSource
    view: SearchView
    record: CandidateRecord


@dataclass(frozen=True)
class Trained:
    """The attempt that trained a candidate.

    Attributes:
        prefix: key prefix of its objects, with a trailing slash.
        digests: SHA-256 (hex) of manifest and weights, by name below the prefix.
    """

    prefix: str
    digests: Mapping[str, str]


def locate(place: str | Path | SearchSource, candidate_id: str) -> Located:
    """Return a candidate.

    Raises:
        InvalidInputError: the folder holds no search, or the search has no such candidate.
        IntegrityError: the journal is damaged.
        XnasError: the search on a cluster can't be read.
    """
    source = as_source(place)
    view = source.view()
    by_id = {record.id: record for record in view.candidates}
    if candidate_id in by_id:
        return Located(source, view, by_id[candidate_id])
    close = difflib.get_close_matches(candidate_id, by_id, 1, 0.7)
    # The front first, and not all: there may be thousands.
    known = list(dict.fromkeys((*view.front, *by_id)))
    more = [f"and {len(known) - _SHOWN} more"] if len(known) > _SHOWN else []
    raise UnknownNameError("candidate", candidate_id, [*known[:_SHOWN], *more], next(iter(close), None))


def trained(located: Located, kind: TaskKind = TaskKind.EVALUATE) -> Trained:
    """Return the attempt whose result stands for the candidate, or (`refine`) the last that trained it further.

    Raises:
        CheckpointMissingError: it is not trained, or its checkpoint was not kept.
    """
    record = located.record
    if record.state is not CandidateState.SUCCEEDED:
        why = f"failed ({record.failure})" if record.state is CandidateState.FAILED else "is not trained yet"
        raise CheckpointMissingError(f"{record.id} {why}, so there is no network to load")
    stored = {a.key.rpartition("/")[2]: a for a in record.artifacts if f"/{kind.value}-" in a.key}
    if kind is TaskKind.REFINE and CHECKPOINT not in stored:
        raise CheckpointMissingError(f"{record.id} was not refined; `xnas refine` does that")
    if CHECKPOINT not in stored or CHECKPOINT_MANIFEST not in stored:
        if located.view.spec.benchmark is not None or located.view.spec.dataset is None:
            raise CheckpointMissingError(f"this search trains nothing, so {record.id} has no network to load")
        raise not_kept(record.id)
    prefix = stored[CHECKPOINT].key.removesuffix(CHECKPOINT)
    return Trained(prefix, {name: stored[name].sha256 for name in (CHECKPOINT, CHECKPOINT_MANIFEST)})


def not_kept(candidate_id: str) -> CheckpointMissingError:
    """Return the error for a checkpoint that was made and is gone."""
    return CheckpointMissingError(
        f"the checkpoint of {candidate_id} was not kept; with artifacts.checkpoints: all, a search keeps those of "
        "candidates that are not on the front, too"
    )


def validation_images(located: Located) -> Tensor:
    """Return real validation images, (N, C, H, W) uint8.

    They are taken from an explanation (all candidates of a search are explained on the same images), so that the
    data set need not be at hand; where there is none, from the data set.

    Raises:
        InvalidInputError: the data set is needed and absent, or the search has none.
        IntegrityError: the explanation is torn or altered; the message names it.
    """
    for artifact in _explanations(located):
        try:
            data = located.source.get(artifact.key)
        except KeyError:
            continue
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise IntegrityError(f"{artifact.key} was altered: it does not fit the digest in the journal")
        return read_explanation(data, artifact.key)[0]["inputs"]
    spec = located.view.spec
    if spec.dataset is None:
        raise InvalidInputError("this search has no data set")
    return torch.from_numpy(load(spec.dataset, spec.seed, default_cache()).validation.images[:DATA_SAMPLES])


def _explanations(located: Located) -> Iterator[StoredArtifact]:
    """Yield explanations, the candidate's own first."""
    for record in (located.record, *located.view.candidates):
        yield from (a for a in record.artifacts if f"/{_EXPLANATIONS}" in a.key and a.key.endswith(_TENSORS))
