"""The worker's end of the pipe: a thread reads, the task's thread waits and sends."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading

from pydantic import BaseModel, ValidationError

from xnas_evaluator import pipe
from xnas_evaluator.context import TaskCancelledError


class Inbox:
    """Messages of the agent, sorted: tasks wait in a queue, answers and flags reach the running task.

    The end of the pipe means that the agent is gone: the process ends at once, whatever it is doing.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._condition = threading.Condition()
        self._work: queue.SimpleQueue[pipe.Configure | pipe.Run] = queue.SimpleQueue()
        self._granted: dict[int, pipe.Granted] = {}
        self._asked = 0
        self._current = ""
        self._cancelled = False
        self._paused: int | None = None
        self._entered = False
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    # --- the task's thread ----------------------------------------------------------------------------------------

    def next_work(self) -> pipe.Configure | pipe.Run:
        """Wait for a task or a configuration."""
        return self._work.get()

    def send(self, message: BaseModel) -> None:
        """Send a message to the agent."""
        data = pipe.line(message)
        with self._sending:
            try:
                self._connection.sendall(data)
            except OSError:
                _end_process()

    def check(self) -> None:
        """Raise TaskCancelledError if the attempt is not wanted; wait while another worker has the exclusive moment."""
        if self._cancelled:
            raise TaskCancelledError
        number = self._paused
        # Whoever has the moment itself may have been told to pause while it waited.
        if number is None or self._entered:
            return
        self.send(pipe.Paused(number=number))
        with self._condition:
            self._condition.wait_for(lambda: self._paused is None or self._cancelled)
        if self._cancelled:
            raise TaskCancelledError

    def sleep(self, seconds: float) -> None:
        """Wait for something outside; answers a pause meanwhile. Raises TaskCancelledError as `check` does."""
        with self._condition:
            # As in `check`: whoever has the exclusive moment itself does not pause.
            self._condition.wait_for(
                lambda: self._cancelled or (self._paused is not None and not self._entered), seconds
            )
        self.check()

    def ask(self, task_id: str, key: str, *, write: bool) -> pipe.Granted:
        """Ask for a grant and wait for the answer; raises TaskCancelledError if the attempt is cancelled meanwhile."""
        self._asked += 1
        return self._answer(pipe.AskGrant(number=self._asked, task_id=task_id, write=write, key=key))

    def ask_data(self, task_id: str, uri: str) -> pipe.Granted:
        """Ask for access to the data set; see `ask`."""
        self._asked += 1
        return self._answer(pipe.AskData(number=self._asked, task_id=task_id, uri=uri))

    def _answer(self, question: pipe.AskGrant | pipe.AskData) -> pipe.Granted:
        number = question.number
        self.send(question)
        with self._condition:
            self._condition.wait_for(lambda: number in self._granted or self._cancelled)
            if number in self._granted:
                return self._granted.pop(number)
        raise TaskCancelledError

    def enter_exclusive(self) -> None:
        """Wait until no other worker computes."""
        self.send(pipe.WantExclusive())
        with self._condition:
            self._condition.wait_for(lambda: self._entered or self._cancelled)
            cancelled = self._cancelled
        if cancelled:
            self.leave_exclusive()
            raise TaskCancelledError

    def leave_exclusive(self) -> None:
        """Let the others go on."""
        with self._condition:
            self._entered = False
        self.send(pipe.LeaveExclusive())

    # --- the pipe's thread ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._connection.makefile("rb") as lines:
            for line in lines:
                try:
                    self._take(pipe.to_worker(line))
                except ValidationError as error:
                    # Agent and worker are of one version, so this is a torn line: the agent died while writing it.
                    print(f"the agent sent a line that cannot be read: {error}", flush=True)
                    break
        _end_process()

    def _take(self, message: pipe.ToWorker) -> None:
        with self._condition:
            match message:
                case pipe.Configure():
                    self._work.put(message)
                case pipe.Run():
                    self._current, self._cancelled = message.assignment.task_id, False
                    self._granted.clear()
                    self._work.put(message)
                case pipe.Cancel():
                    self._cancelled = self._cancelled or message.task_id == self._current
                case pipe.Granted():
                    self._granted[message.number] = message
                case pipe.Pause():
                    self._paused = message.number
                case pipe.Resume():
                    self._paused = None
                case pipe.Enter():
                    self._entered = True
            self._condition.notify_all()


def _end_process() -> None:
    """End at once, also while a task computes: nobody is there to take its result, and its state is stored."""
    os._exit(0)
