"""Where a candidate's trained network lies in an output folder, and what its bytes have to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from xnas_core.artifacts.keys import RESULT, SEARCH
from xnas_core.errors import IntegrityError, InvalidInputError, UnknownNameError
from xnas_core.tasks import TaskKind, TaskResult, attempt_prefix
from xnas_evaluator.explain.stored import read as read_explanation

_EVALUATION = re.compile(rf"^{TaskKind.EVALUATE.value}-([0-9]+)$")
_EXPLANATIONS = "*/explanations/*.safetensors"


class CheckpointMissingError(InvalidInputError):
    """The candidate exists, its checkpoint does not."""

    reason = "CheckpointMissing"


@dataclass(frozen=True)
class Trained:
    """The attempt that trained a candidate.

    Attributes:
        prefix: key prefix of its objects, with a trailing slash.
        digests: SHA-256 (hex) of its objects, by name below the prefix.
    """

    prefix: str
    digests: Mapping[str, str]


def find_trained(folder: Path, candidate_id: str) -> Trained:
    """Return the attempt whose result stands for a candidate.

    Raises:
        InvalidInputError: the folder holds no search, or the search has no such candidate.
        CheckpointMissingError: it has not been trained.
        IntegrityError: its result is torn.
    """
    if not (folder / SEARCH).is_file():
        raise InvalidInputError(f"{folder} holds no search; give the folder that `xnas run --output` was given")
    candidates = sorted(path.name for path in (folder / "candidates").glob("c*"))
    if candidate_id not in candidates:
        raise _unknown(candidate_id, candidates)
    attempts = [_EVALUATION.match(path.name) for path in (folder / "candidates" / candidate_id).iterdir()]
    for attempt in sorted((int(match[1]) for match in attempts if match), reverse=True):
        prefix = attempt_prefix(candidate_id, TaskKind.EVALUATE, attempt)
        path = folder / prefix / RESULT
        if path.is_file():
            try:
                result = TaskResult.model_validate_json(path.read_bytes())
            except ValueError as error:
                raise IntegrityError(f"{prefix}{RESULT} is torn or not a result ({error})") from error
            return Trained(prefix, {artifact.name: artifact.sha256 for artifact in result.artifacts})
    raise CheckpointMissingError(f"{candidate_id} has no finished evaluation: it is not trained yet, or failed")


def _unknown(candidate_id: str, candidates: Sequence[str]) -> UnknownNameError:
    close = difflib.get_close_matches(candidate_id, candidates, 1, 0.7)
    # A search may have thousands of candidates.
    more = [f"and {len(candidates) - 8} more"] if len(candidates) > 8 else []
    return UnknownNameError("candidate", candidate_id, [*candidates[:8], *more], next(iter(close), None))


def validation_images(folder: Path, candidate_id: str) -> Tensor:
    """Return real validation images, (N, C, H, W) uint8, that are stored with the explanations of the search.

    All candidates of a search are explained on the same images, so another candidate's serve where it has none.

    Raises:
        InvalidInputError: no candidate was explained.
        IntegrityError: the object is torn or altered.
    """
    own = sorted((folder / "candidates" / candidate_id).glob(_EXPLANATIONS))
    for path in own or sorted((folder / "candidates").glob(f"*/{_EXPLANATIONS}")):
        content, _ = read_explanation(path.read_bytes(), str(path.relative_to(folder)))
        return content["inputs"]
    raise InvalidInputError(
        f"{folder} holds no validation images to check an export on, as no candidate was explained; "
        "run the search with explanations (explanations.scope: front) to the end"
    )
