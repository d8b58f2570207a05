"""The key scheme: the only module that knows where an object lies (architecture.md, "Keys")."""

from __future__ import annotations

import re

from xnas_core.errors import InvalidInputError
from xnas_core.tasks import TaskKind, attempt_prefix

SEARCH = "search.json"
JOURNAL = "journal/"
SNAPSHOTS = "snapshots/"
CANDIDATES_TABLE = "candidates.parquet"
FRONT_TABLE = "front.csv"
REPORT = "report.html"

RESULT = "result.json"
FAILURE = "failure.json"
STATE = "state.safetensors"
CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_MANIFEST = "checkpoint.json"
SIDE_BY_SIDE = "explanations/side-by-side.png"
DIAGNOSIS = "diagnosis.json"
DIAGNOSIS_TENSORS = "diagnosis.safetensors"
HEAT_MAPS = "diagnosis/heatmaps.png"
SUSPECTS = "diagnosis/suspects.png"
REFINEMENT = "refinement.json"
CONFIRMATION = "confirmation.json"

_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")


def check_key(key: str) -> str:
    """Return the key if it is a plain relative path; raise InvalidInputError otherwise (protocol.md §6.9)."""
    if len(key) > 900 or not _KEY.match(key):
        raise InvalidInputError(
            f"{key[:200]!r} is not a valid object name: use letters, digits, '.', '_' and '-', with single '/' between"
        )
    return key


def segment(number: int) -> str:
    """Return the key of journal segment `number` (from 1)."""
    return f"{JOURNAL}{number:08d}.json"


def snapshot(number: int) -> str:
    """Return the key of the snapshot that covers segments 1…`number`."""
    return f"{SNAPSHOTS}{number:08d}.json"


def attempt_object(candidate: str, kind: TaskKind, attempt: int, name: str) -> str:
    """Return the key of an object of an attempt."""
    return check_key(attempt_prefix(candidate, kind, attempt) + name)


def explanation(method: str, suffix: str) -> str:
    """Return the name, below an attempt's prefix, of an explanation ('.safetensors' or '.png').

    Raises InvalidInputError for a method whose picture would be taken for that of all methods side by side.
    """
    name = f"explanations/{method}{suffix}"
    if name == SIDE_BY_SIDE:
        raise InvalidInputError("an explainer can't be named 'side-by-side': the picture of all methods has that name")
    return name
