"""Parts of the worker: failures, objects by grant, the table of benchmark mode, what is imported when."""

from __future__ import annotations

import errno
import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import IntegrityError, InvalidInputError, StoreError, UnknownNameError
from xnas_core.tasks import EndReason, TaskKind
from xnas_evaluator import tasks
from xnas_evaluator.context import NonFiniteError, TaskCancelledError, UnfitError
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.worker import objects
from xnas_evaluator.worker.failures import explain


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  (a traceback is wanted for any exception)
        return caught


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        (TaskCancelledError(), EndReason.CANCELLED, "cancelled"),
        (NonFiniteError("loss"), EndReason.NON_FINITE, "loss"),
        (InvalidInputError("bad shape"), EndReason.INVALID_TASK, "bad shape"),
        (UnknownNameError("objective", "acuracy", ["accuracy"]), EndReason.INVALID_TASK, "acuracy"),
        (UnfitError("other images"), EndReason.UNFIT, "other images"),
        (StoreError("no bucket"), EndReason.STORE_UNAVAILABLE, "no bucket"),
        (OSError(errno.ENOSPC, "No space left", "/out/x"), EndReason.STORE_UNAVAILABLE, "disk of /out/x is full"),
        (OSError(errno.EDQUOT, "Quota", "/out/x"), EndReason.STORE_UNAVAILABLE, "free some space"),
        (OSError(errno.EIO, "I/O error"), EndReason.EXCEPTION, "I/O error"),
        (MemoryError(), EndReason.OUT_OF_MEMORY, "MemoryError"),
        (IntegrityError("torn"), EndReason.EXCEPTION, "IntegrityError: torn"),
        (ZeroDivisionError("x"), EndReason.EXCEPTION, "ZeroDivisionError: x"),
    ],
)
def test_exceptions_and_reasons(error: Exception, reason: EndReason, said: str) -> None:
    found, message = explain(raised(error))
    assert found is reason
    assert said in message


def test_torchs_own_errors_are_told_apart() -> None:
    torch = pytest.importorskip("torch")
    for error, reason in (
        (torch.OutOfMemoryError("CUDA out of memory"), EndReason.OUT_OF_MEMORY),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered", 700), EndReason.DEVICE_ERROR),
        (RuntimeError("CUDA error: device-side assert triggered"), EndReason.DEVICE_ERROR),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), EndReason.DEVICE_ERROR),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), EndReason.EXCEPTION),
    ):
        assert explain(raised(error))[0] is reason
    with pytest.raises(RuntimeError) as huge:
        torch.empty(10**15)
    assert explain(huge.value)[0] is EndReason.OUT_OF_MEMORY


def test_only_the_innermost_frames_are_shown() -> None:
    def deep(level: int) -> None:
        if level == 0:
            raise ValueError("bottom")
        deep(level - 1)

    with pytest.raises(ValueError, match="bottom") as caught:
        deep(50)
    _, message = explain(caught.value)
    assert 'raise ValueError("bottom")' in message
    assert "test_only_the_innermost" not in message, "the outermost frame is left out"


def test_paths_are_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "candidates/c/evaluate-1/state.safetensors"
    assert objects.read_path(path) is None
    objects.write_path(path, b"1")
    objects.write_path(path, b"2")
    assert objects.read_path(path) == b"2"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "no temporary file is left"
    with pytest.raises(StoreError, match="cannot"):
        objects.read_path(tmp_path)
    with pytest.raises(StoreError, match="a file is in the way"):
        objects.write_path(path / "below", b"")


TABLE = "arch,acc,flops,iso\n|a~0|,91.5,12.25,A\n|b~0|,nan,13.0,B\n"


def spec_of(table: Path, key: str = "arch") -> ArchitectureSearchSpec:
    document = {
        "searchSpace": {"name": "nas-bench-201"},
        "benchmark": {"table": str(table), "key": key},
        "objectives": [
            {"name": "accuracy", "metric": "acc", "direction": "maximize"},
            {"name": "flops", "direction": "minimize"},
        ],
    }
    return ArchitectureSearchSpec.model_validate(document, strict=False)


@pytest.mark.parametrize("packed", [False, True])
def test_a_row_of_the_table_is_the_evaluation(tmp_path: Path, packed: bool) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(gzip.compress(TABLE.encode()) if packed else TABLE.encode())
    context = FolderContext(assignment(encoding="|a~0|", fidelity=0), spec_of(table), tmp_path / "out")
    result = tasks.run(context)
    assert result.metrics == {"acc": 91.5, "flops": 12.25, "accuracy": 91.5}
    finalised = FolderContext(assignment(TaskKind.FINALISE, encoding="|a~0|"), spec_of(table), tmp_path / "out")
    assert tasks.run(finalised).metrics == {}


@pytest.mark.parametrize(
    ("content", "encoding", "key", "said"),
    [
        (TABLE, "|c~0|", "arch", "no row"),
        (TABLE, "|b~0|", "arch", "not a finite number"),
        (TABLE, "|a~0|", "architecture", "no column 'architecture'"),
        (TABLE.replace("flops", "macs"), "|a~0|", "arch", "'flops'"),
        (TABLE + "|a~0|,1,2,A\n", "|a~0|", "arch", "appears twice"),
        (TABLE + "|d~0|,1\n", "|a~0|", "arch", "2 cells"),
        ("", "|a~0|", "arch", "no column"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, content: str, encoding: str, key: str, said: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(content)
    context = FolderContext(assignment(encoding=encoding), spec_of(table, key), tmp_path / "out")
    with pytest.raises(InvalidInputError, match=said):
        tasks.run(context)


@pytest.mark.parametrize(
    "content", [None, b"\x1f\x8b broken", b"\xff\xfe\xfd", gzip.compress(TABLE.encode(), mtime=0)[:-9]]
)
def test_a_damaged_or_missing_table_is_named(tmp_path: Path, content: bytes | None) -> None:
    table = tmp_path / "table.csv.gz"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"table.csv.gz"):
        tasks.run(FolderContext(assignment(encoding="|a~0|"), spec_of(table), tmp_path / "out"))


def test_kinds_that_this_evaluator_does_not_know_are_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path).model_copy(update={"benchmark": None})
    with pytest.raises(InvalidInputError, match="refine"):
        tasks.run(FolderContext(assignment(TaskKind.REFINE), spec, tmp_path / "out"))


@pytest.mark.parametrize("module", ["xnas_evaluator.agent.run", "xnas_evaluator.table", "xnas_evaluator.worker.main"])
def test_torch_is_not_imported_before_a_task_needs_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
