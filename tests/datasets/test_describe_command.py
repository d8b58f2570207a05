"""`python -m xnas_evaluator.datasets.describe`: one JSON answer, no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def _ask(request: str, cache: Path) -> tuple[int, dict[str, Any]]:
    process = subprocess.run(
        [sys.executable, "-m", "xnas_evaluator.datasets.describe"],
        input=request,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "XNAS_CACHE": str(cache)},
    )
    assert not process.stderr
    return process.returncode, json.loads(process.stdout)


def test_digits(tmp_path: Path) -> None:
    code, answer = _ask(json.dumps({"dataset": {"name": "digits", "validationFraction": 0.2}, "seed": 7}), tmp_path)
    assert code == 0
    digest = answer.pop("digest")
    assert len(digest) == 64
    assert answer == {
        "channels": 1,
        "height": 8,
        "width": 8,
        "classes": 10,
        "classNames": list("0123456789"),
        "train": 1151,
        "validation": 287,
        "test": 359,
        "testHeldOut": True,
    }


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("{", "InvalidInput", "not JSON"),
        ("[]", "InvalidInput", "JSON object"),
        ('{"dataset": {"name": "digits", "size": 3}}', "InvalidInput", "size"),
        ('{"dataset": {"name": "digit"}}', "UnknownName", "did you mean 'digits'"),
    ],
)
def test_mistakes(text: str, reason: str, message: str, tmp_path: Path) -> None:
    code, answer = _ask(text, tmp_path)
    assert code == 1
    assert answer["reason"] == reason
    assert message in answer["error"]


def test_it_imports_neither_torch_nor_sklearn(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from xnas_evaluator.datasets.describe import describe; "
        f"describe({{'dataset': {{'name': 'digits'}}}}, pathlib.Path({str(tmp_path)!r})); "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
