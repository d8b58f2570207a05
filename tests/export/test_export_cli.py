"""`export_cli`: the export as a process that speaks JSON, whatever its libraries print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xnas_core.errors import InvalidInputError
from xnas_evaluator.export_cli import export
from xnas_evaluator.testing_trained import TrainedFolder


def _asked(trained: TrainedFolder, destination: Path, **changes: Any) -> dict[str, Any]:
    question = {"folder": str(trained.root), "candidate": trained.candidate, "destination": str(destination)}
    return {**question, "formats": ["torch"], **changes}


def _process(text: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "xnas_evaluator.export_cli"],
        input=text, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.slow
def test_the_answer_is_one_document(trained: TrainedFolder, tmp_path: Path) -> None:
    code, out = _process(json.dumps(_asked(trained, tmp_path)))
    assert code == 0
    answer = json.loads(out)
    (file,) = answer["files"]
    assert answer["candidate"] == trained.candidate
    assert answer["samples"] > 0
    assert Path(file["path"]).stat().st_size == file["size"]
    assert file["maxAbsDifference"] < 1e-3


@pytest.mark.parametrize(
    ("text", "says"), [("{", "standard input is not JSON"), ("[]", "expected a JSON object"), ("{}", "'folder'")]
)
def test_wrong_questions_are_answered(text: str, says: str) -> None:
    code, out = _process(text)
    assert code == 1
    assert says in json.loads(out)["error"]


def test_errors_keep_their_sentence(trained: TrainedFolder, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cffffffffffff"):
        export(_asked(trained, tmp_path, candidate="cffffffffffff"))
    with pytest.raises(InvalidInputError, match="pickle"):
        export(_asked(trained, tmp_path, formats=["pickle"]))
