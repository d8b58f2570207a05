"""Old clients and old evaluators go on working: what was released is never changed, only added to.

`proto/released.binpb` is the image of the last release. With a release it is made anew:
`buf build --exclude-source-info -o proto/released.binpb`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).parent / "buf"


def buf(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    shutil.copytree(ROOT / "proto" / "xnas", tmp_path / "proto" / "xnas")
    shutil.copy(ROOT / "proto" / "released.binpb", tmp_path / "proto")
    (tmp_path / "proto" / "gen").mkdir()
    return tmp_path


def test_the_files_are_clean() -> None:
    result = buf(ROOT, "lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_that_was_released_is_broken() -> None:
    result = buf(ROOT, "breaking", "--against", "proto/released.binpb")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("search.proto", "string resume_token = 1;", "bytes resume_token = 1;", "resume_token"),
        ("search.proto", "string next_page_token = 2;", "string next_page_token = 9;", "next_page_token"),
        ("search.proto", "uint32 page_size = 3;", "uint32 size_of_page = 3;", "page_size"),
        ("search.proto", "CANDIDATE_STATE_FAILED = 4;", "CANDIDATE_STATE_LOST = 4;", "CANDIDATE_STATE_FAILED"),
        ("evaluator.proto", "repeated string running = 1;", "string running = 1;", "running"),
    ],
)
def test_a_change_that_breaks_is_found(copied: Path, file: str, old: str, new: str, complaint: str) -> None:
    path = copied / "proto" / "xnas" / "v1alpha1" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    result = buf(copied, "breaking", "--against", "proto/released.binpb")
    assert result.returncode != 0
    assert complaint in result.stdout + result.stderr


def test_a_field_may_be_added(copied: Path) -> None:
    path = copied / "proto" / "xnas" / "v1alpha1" / "search.proto"
    path.write_text(
        path.read_text().replace("message SearchDeleted {}", "message SearchDeleted {\n  bool kept = 1;\n}")
    )
    result = buf(copied, "breaking", "--against", "proto/released.binpb")
    assert result.returncode == 0, result.stdout + result.stderr
