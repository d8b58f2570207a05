"""The evaluator's answers: one JSON document on standard output, whatever libraries print there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import os, sys
from xnas_core.errors import InvalidInputError, StoreError
from xnas_evaluator.answering import answer

def handle(question):
    print("a library talks")
    os.write(1, b"and its C code too\\n")
    if question["what"] == "wrong":
        raise InvalidInputError("that is wrong; do it right")
    if question["what"] == "bug":
        raise ZeroDivisionError
    return {"twice": 2 * question["number"]}

sys.exit(answer(handle))
"""


def _answer(question: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE], input=question, capture_output=True, text=True, timeout=60, check=False
    )


def test_only_the_answer_is_on_standard_output() -> None:
    done = _answer('{"what": "sum", "number": 21}')
    assert (done.returncode, json.loads(done.stdout)) == (0, {"twice": 42})
    assert "a library talks" in done.stderr
    assert "and its C code too" in done.stderr


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ('{"what": "wrong"}', {"error": "that is wrong; do it right", "reason": "InvalidInput"}),
        ("[1]", {"error": "expected a JSON object", "reason": "InvalidInput"}),
    ],
)
def test_errors_are_answers(question: str, error: dict[str, str]) -> None:
    done = _answer(question)
    assert (done.returncode, json.loads(done.stdout)) == (1, error)


def test_a_mistake_of_ours_is_a_traceback() -> None:
    done = _answer('{"what": "bug"}')
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ZeroDivisionError" in done.stderr
