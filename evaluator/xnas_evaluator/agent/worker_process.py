"""One worker process: start, messages, what it printed, end. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from xnas_evaluator import pipe
from xnas_evaluator.agent import machine

_log = structlog.get_logger(__name__)
_TAIL_CHARACTERS = 3000
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerProcess:
    """A running worker.

    Attributes:
        pid: its process id.
        oom_kills: the cgroup's count when it started.
    """

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket, slot: int) -> None:
        self._process = process
        self._connection = connection
        self._slot = slot
        self._tail: deque[str] = deque()
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._finished = False
        self.pid = process.pid
        self.oom_kills = machine.oom_kills()

    @classmethod
    async def start(
        cls,
        slot: int,
        *,
        device: str,
        threads: int,
        cache: Path,
        store_ca_file: Path | None,
        tasks: str,
        on_message: Callable[[pipe.ToAgent], None],
    ) -> WorkerProcess:
        """Start a worker; `on_message` gets what it says. Raises OSError if the machine cannot start a process."""
        ours, theirs = socket.socketpair()
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), "PYTHONUNBUFFERED": "1"}
        command = [
            sys.executable, "-m", "xnas_evaluator.worker", "--descriptor", str(theirs.fileno()),
            "--parent-pid", str(os.getpid()), "--device", device, "--threads", str(threads),
            "--cache", str(cache), "--tasks", tasks,
            *(("--store-ca-file", str(store_ca_file)) if store_ca_file is not None else ()),
        ]  # fmt: skip
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Only the socket is inherited: no lock and no stream of ours lives on in a worker.
                close_fds=True,
                pass_fds=(theirs.fileno(),),
                env=environment,
                # A group of its own: a Ctrl-C is for the agent, and its children end with it.
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = cls(process, ours, slot)
        await worker._open(on_message)
        return worker

    async def _open(self, on_message: Callable[[pipe.ToAgent], None]) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._connection, limit=pipe.MAX_LINE_BYTES)
        self._tasks = [
            asyncio.ensure_future(self._read_messages(reader, on_message)),
            asyncio.ensure_future(self._read_output()),
        ]

    def send(self, message: BaseModel) -> None:
        """Send a message; one to a worker that has ended is dropped."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(pipe.line(message))

    def kill(self) -> None:
        """End the worker and its children now."""
        if self._finished:
            # Its number may belong to another process by now.
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    @property
    def tail(self) -> str:
        """What it printed last."""
        return "".join(self._tail)

    async def wait(self) -> int:
        """Wait for its end and the last of its output; return the exit code (negative: a signal)."""
        code = await self._process.wait()
        # Children of the worker may hold its output open; what they would still say is not waited for.
        await asyncio.wait(self._tasks, timeout=1.0)
        self.kill()
        self._finished = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        return code

    async def _read_messages(self, reader: asyncio.StreamReader, on_message: Callable[[pipe.ToAgent], None]) -> None:
        try:
            while line := await reader.readline():
                on_message(pipe.to_agent(line))
        except OSError:
            # The worker died; `wait` tells how.
            return
        except (ValidationError, ValueError) as error:
            # A torn last line of a dying worker, or one that writes into our socket what is not for us.
            self._keep(f"[agent] a line of the worker cannot be read: {error}\n"[:500])
            if self.alive:
                self.kill()

    async def _read_output(self) -> None:
        if self._process.stdout is None:
            return
        while chunk := await self._process.stdout.read(65_536):
            text = chunk.decode(errors="replace")
            self._keep(text)
            for line in text.splitlines():
                _log.info("worker", slot=self._slot, line=line[:1000])

    def _keep(self, text: str) -> None:
        self._tail.append(text[-_TAIL_CHARACTERS:])
        while len(self._tail) > 1 and sum(map(len, self._tail)) - len(self._tail[0]) >= _TAIL_CHARACTERS:
            self._tail.popleft()
