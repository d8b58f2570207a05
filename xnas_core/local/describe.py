"""Ask the evaluator side for the data's shape, without importing it: a process that speaks JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError, StoreError, XnasError
from xnas_core.spaces.base import DataShape

_DEADLINE_SECONDS = 1800  # decoding a large image folder for the first time takes minutes


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """What a data set is: shape, classes, samples in each split, SHA-256 of its decoded content."""

    shape: DataShape
    class_names: tuple[str, ...]
    train: int
    validation: int
    test: int
    digest: str


def describe_dataset(spec: ArchitectureSearchSpec) -> DatasetDescription | None:
    """Return the description of the spec's data set, or None where the search uses none.

    Decodes and caches the data if that has not been done yet.

    Raises:
        InvalidInputError: the data are missing or unusable; the message says what to change.
        StoreError: they cannot be kept in the cache.
    """
    if spec.dataset is None:
        return None
    answer = ask_evaluator(
        "xnas_evaluator.datasets.describe", {"dataset": spec.dataset.to_document(), "seed": spec.seed}
    )
    try:
        shape = DataShape(*(int(answer[key]) for key in ("channels", "height", "width", "classes")))
        train, validation, test = (int(answer[key]) for key in ("train", "validation", "test"))
        return DatasetDescription(shape, tuple(answer["classNames"]), train, validation, test, str(answer["digest"]))
    except (KeyError, TypeError, ValueError) as error:
        raise XnasError(f"the evaluator described the data set in an unknown way: {error}") from error


def ask_evaluator(module: str, question: dict[str, Any], deadline_seconds: float = _DEADLINE_SECONDS) -> dict[str, Any]:
    """Run `python -m module` with a JSON document on its standard input and return the one on its standard output.

    Raises:
        StoreError: the process answered so, as a disk is full or read-only.
        InvalidInputError: it answered with another {"error": ...}.
        XnasError: it died, said something else, or took too long.
    """
    try:
        process = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=deadline_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise XnasError(f"{module} gave no answer within {deadline_seconds:.0f} s") from None
    try:
        answer = json.loads(process.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        if "No module named" in process.stderr and "xnas_evaluator" in process.stderr:
            raise XnasError("the evaluator is not installed here; install xnas[local]")
        last = (process.stderr.strip().splitlines() or ["no output"])[-1]
        raise XnasError(f"{module} ended with exit code {process.returncode}: {last[:500]}")
    if "error" in answer:
        kind = StoreError if answer.get("reason") == StoreError.reason else InvalidInputError
        raise kind(str(answer["error"]))
    return answer
