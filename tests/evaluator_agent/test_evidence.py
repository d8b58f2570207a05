"""What ended a worker, from the evidence alone (protocol.md §7)."""

from __future__ import annotations

import signal

import pytest

from xnas_core.dispatch.messages import MAX_TEXT
from xnas_core.tasks import EndReason
from xnas_evaluator.agent.evidence import WorkerEnd, classify_end


@pytest.mark.parametrize(
    ("end", "reason", "said"),
    [
        (WorkerEnd(-signal.SIGSEGV), EndReason.WORKER_CRASHED, "signal SIGSEGV"),
        (WorkerEnd(-signal.SIGABRT), EndReason.WORKER_CRASHED, "signal SIGABRT"),
        (WorkerEnd(-250), EndReason.WORKER_CRASHED, "signal 250"),
        (WorkerEnd(1), EndReason.WORKER_CRASHED, "exit code 1"),
        (WorkerEnd(0), EndReason.WORKER_CRASHED, "exit code 0"),
        (WorkerEnd(-signal.SIGKILL), EndReason.WORKER_CRASHED, "signal SIGKILL"),
        (WorkerEnd(-signal.SIGKILL, oom_kills=1), EndReason.OUT_OF_MEMORY, "no memory left"),
        # Another process of the container may have been killed for memory; a segfault is still one.
        (WorkerEnd(-signal.SIGSEGV, oom_kills=1), EndReason.WORKER_CRASHED, "SIGSEGV"),
        (WorkerEnd(-signal.SIGKILL, (EndReason.WORKER_HUNG, "silent")), EndReason.WORKER_HUNG, "silent"),
        (WorkerEnd(-signal.SIGKILL, (EndReason.OUT_OF_MEMORY, "limit"), 1), EndReason.OUT_OF_MEMORY, "limit"),
        (WorkerEnd(1, tail="Traceback ...\nImportError: x"), EndReason.WORKER_CRASHED, "ImportError: x"),
    ],
)
def test_evidence_and_reason(end: WorkerEnd, reason: EndReason, said: str) -> None:
    found, message = classify_end(end)
    assert found is reason
    assert said in message


def test_a_long_last_word_is_cut() -> None:
    assert len(classify_end(WorkerEnd(1, tail="x" * 10_000))[1]) <= MAX_TEXT
