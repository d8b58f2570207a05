"""A worker's objects by presigned URLs: the same guarantees as by paths (protocol.md §6.9, §7)."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.dispatch.grants import S3Grants
from xnas_core.errors import StoreError
from xnas_core.tasks import EndReason, TaskKind
from xnas_core.testing.fake_s3 import QUICK, FakeS3, Refusal, Step, Trouble, fake_s3
from xnas_evaluator import pipe
from xnas_evaluator.context import TaskCancelledError
from xnas_evaluator.testing import assignment
from xnas_evaluator.worker import inbox as inbox_module
from xnas_evaluator.worker import web
from xnas_evaluator.worker.context import WorkerContext
from xnas_evaluator.worker.failures import explain

ASSIGNMENT = assignment(previous_attempts=(1,), attempt=2)
STATE = f"{ASSIGNMENT.prefix}state.safetensors"
SPEC = ArchitectureSearchSpec.model_validate(
    {
        "searchSpace": {"name": "nas-bench-201"},
        "dataset": {"name": "digits"},
        "training": {"epochs": 1},
        "objectives": [{"name": "accuracy", "direction": "maximize"}, {"name": "macs", "direction": "minimize"}],
    },
    strict=False,
)


class Agent:
    """The agent's end of a worker's pipe: answers each AskGrant with a presigned URL, or as told."""

    def __init__(self, grants: S3Grants) -> None:
        self.grants = grants
        self.asked: list[pipe.AskGrant] = []
        self.paused = threading.Event()
        self.error: str | None = None
        self.urls: list[str] = []
        """Given out first, in this order, instead of signed ones."""
        self.ours, self.theirs = socket.socketpair()
        self.inbox = inbox_module.Inbox(self.theirs)
        self.send(pipe.Run(assignment=ASSIGNMENT))
        self.inbox.next_work()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        self.context = WorkerContext(self.inbox, ASSIGNMENT, SPEC, device="cpu", threads=1, cache=Path())

    def send(self, message: BaseModel) -> None:
        self.ours.sendall(pipe.line(message))

    def _serve(self) -> None:
        with self.ours.makefile("rb") as lines:
            for line in lines:
                message = pipe.to_agent(line)
                if isinstance(message, pipe.Paused):
                    self.paused.set()
                if isinstance(message, pipe.AskGrant):
                    self.asked.append(message)
                    url = self.urls.pop(0) if self.urls else self.grants.grant(message.key, write=message.write).url
                    answer = pipe.Granted(number=message.number, url=None if self.error else url, error=self.error)
                    self.send(answer)

    def close(self) -> None:
        self.ours.shutdown(socket.SHUT_RDWR)
        for thread in threading.enumerate():
            if thread.name == "pipe" or thread is self.thread:
                thread.join()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


@pytest.fixture
def agent(s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.setattr(inbox_module, "_end_process", lambda: None)
    monkeypatch.setattr(web, "PATIENCE", QUICK)
    made = Agent(S3Grants(s3.settings()))
    yield made
    made.close()


def test_objects_are_written_and_read(s3: FakeS3, agent: Agent) -> None:
    data = bytes(range(256)) * 5000
    assert agent.context.get(TaskKind.EVALUATE, 1, "state.safetensors") is None
    artifact = agent.context.put("state.safetensors", data)
    assert (artifact.size, artifact.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert s3.objects == {STATE: data}
    assert agent.context.get(TaskKind.EVALUATE, 2, "state.safetensors") == data


def test_a_store_that_fails_for_a_while_costs_nothing(s3: FakeS3, agent: Agent) -> None:
    s3.script = [Refusal(500), Refusal(503, "SlowDown"), Trouble.RESET]
    agent.context.put("a", b"1")
    s3.script = [Trouble.DONE_THEN_RESET, Refusal(429)]
    agent.context.put("b", b"2")
    s3.script = [Trouble.TORN, Trouble.RESET]
    assert agent.context.get(TaskKind.EVALUATE, 2, "b") == b"2"
    assert s3.objects == {ASSIGNMENT.prefix + "a": b"1", ASSIGNMENT.prefix + "b": b"2"}


@pytest.mark.parametrize("step", [Refusal(503), Refusal(507), Refusal(404, "NoSuchBucket"), Trouble.RESET])
def test_repetitions_are_limited_and_end_as_store_unavailable(s3: FakeS3, agent: Agent, step: Step) -> None:
    s3.script = [step] * 100
    with pytest.raises(StoreError) as error:
        agent.context.get(TaskKind.EVALUATE, 1, "state.safetensors")
    reason, message = explain(error.value)
    assert reason is EndReason.STORE_UNAVAILABLE
    assert len(s3.seen) <= QUICK.tries
    assert "state.safetensors" in message
    assert "X-Amz" not in message


def test_a_store_that_never_answers_is_given_up(s3: FakeS3, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE", replace(QUICK, read_seconds=0.1, deadline_seconds=0.3))
    s3.script = [Trouble.SILENCE] * 100
    with pytest.raises(StoreError, match="did not answer in time"):
        agent.context.put("x", b"1")


def test_an_expired_grant_is_replaced(s3: FakeS3, agent: Agent) -> None:
    s3.script = [Refusal(403, "AccessDenied")]
    agent.context.put("x", b"1")
    assert s3.objects == {ASSIGNMENT.prefix + "x": b"1"}
    assert [ask.write for ask in agent.asked] == [True, True]


def test_a_store_that_refuses_every_grant_is_given_up(s3: FakeS3, agent: Agent) -> None:
    s3.script = [Refusal(403, "AccessDenied")] * 100
    with pytest.raises(StoreError, match="403 AccessDenied") as error:
        agent.context.put("x", b"1")
    assert len(agent.asked) == 3
    assert explain(error.value)[0] is EndReason.STORE_UNAVAILABLE


def test_a_grant_is_used_again_while_it_holds(s3: FakeS3, agent: Agent) -> None:
    for epoch in range(5):
        agent.context.put("state.safetensors", str(epoch).encode())
    assert len(agent.asked) == 1, "a server that is away does not stop a training"
    agent.context.get(TaskKind.EVALUATE, 2, "state.safetensors")
    assert [ask.write for ask in agent.asked] == [True, False], "a grant is for one verb"


def test_a_grant_near_its_end_is_not_used_again(s3: FakeS3, agent: Agent) -> None:
    agent.grants = S3Grants(s3.settings(), seconds=1)
    real, later = time.monotonic, time.monotonic() + 0.6
    agent.context.put("x", b"1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: max(later, real()))
        agent.context.put("x", b"2")
    assert len(agent.asked) == 2


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "http://", "data:,x", ""])
def test_odd_addresses_are_refused(agent: Agent, url: str) -> None:
    agent.urls = [url]
    with pytest.raises(StoreError):
        agent.context.get(TaskKind.EVALUATE, 1, "x")


def test_a_refused_grant_says_why(agent: Agent) -> None:
    agent.error = "no access to x: the attempt is not yours"
    with pytest.raises(StoreError, match="not yours"):
        agent.context.put("x", b"1")


def test_a_cancelled_attempt_does_not_wait_for_the_store(
    s3: FakeS3, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        web, "PATIENCE", replace(QUICK, first_pause_seconds=100, longest_pause_seconds=100, deadline_seconds=1000)
    )
    s3.script = [Refusal(503)] * 100
    threading.Timer(0.2, lambda: agent.send(pipe.Cancel(task_id=ASSIGNMENT.task_id))).start()
    with pytest.raises(TaskCancelledError):
        agent.context.put("x", b"1")


def test_a_worker_that_waits_for_the_store_lets_another_have_its_moment(
    s3: FakeS3, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        web, "PATIENCE", replace(QUICK, first_pause_seconds=100, longest_pause_seconds=100, deadline_seconds=1000)
    )
    s3.script = [Refusal(503)]
    agent.send(pipe.Pause(number=7))

    def resume() -> None:
        agent.paused.wait()
        agent.send(pipe.Resume())

    threading.Thread(target=resume).start()
    agent.context.put("x", b"1")
    assert agent.paused.is_set()
    assert s3.objects == {ASSIGNMENT.prefix + "x": b"1"}


def test_a_worker_in_its_own_moment_does_not_hurry_the_store(s3: FakeS3, agent: Agent) -> None:
    agent.send(pipe.Enter())
    agent.inbox.enter_exclusive()
    agent.send(pipe.Pause(number=1))
    agent.context.put("x", b"1")  # its grant comes after the pause
    before = time.monotonic()
    agent.inbox.sleep(0.2)
    assert time.monotonic() - before >= 0.19
    assert not agent.paused.is_set()


def test_workers_of_one_machine_need_no_web_client() -> None:
    code = "import sys, xnas_evaluator.worker.main; print('urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
