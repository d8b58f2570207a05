"""The evaluator that `xnas run` starts: one agent process, started again if it dies, ended with the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from xnas_core.errors import XnasError

_log = structlog.get_logger(__name__)

RESTART_LIMIT = 5
"""Deaths within RESTART_WINDOW_SECONDS after which the run gives up."""
RESTART_WINDOW_SECONDS = 120.0
STOP_SECONDS = 10.0
"""How long the agent may take to hand back its work before it is killed."""
_TAIL_LINES = 50


class EvaluatorProcessError(XnasError):
    """The evaluator process keeps dying."""

    reason = "EvaluatorDied"


class EvaluatorProcess:
    """Supervises one agent process.

    Args:
        address: what to connect to ("unix:/…").
        slots: candidates trained side by side.
        device: auto, cpu or cuda.
        announce: called with the evaluator id of each process before it starts, so that the server knows
            that this evaluator ends with the run.
        died: called with the evaluator id and the exit code of a process that ended by itself.
    """

    def __init__(
        self,
        address: str,
        slots: int,
        device: str,
        announce: Callable[[str], None],
        died: Callable[[str, int], None],
    ) -> None:
        self._command = [
            sys.executable, "-m", "xnas_evaluator.agent", "--connect", address, "--slots", str(slots),
            "--device", device, "--parent-pid", str(os.getpid()),
        ]  # fmt: skip
        self._announce = announce
        self._died = died
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    async def supervise(self) -> None:
        """Keep an agent running until cancelled; then end it within STOP_SECONDS.

        Raises:
            EvaluatorProcessError: it died too often; the message ends with what it said last.
        """
        deaths: deque[float] = deque(maxlen=RESTART_LIMIT)
        while True:
            code = await self._run_once()
            deaths.append(time.monotonic())
            _log.warning("evaluator process ended; starting another", exit_code=code)
            if len(deaths) == RESTART_LIMIT and deaths[-1] - deaths[0] < RESTART_WINDOW_SECONDS:
                said = "\n".join(list(self._tail)[-10:]) or "nothing"
                raise EvaluatorProcessError(
                    f"the evaluator process died {RESTART_LIMIT} times in a row (exit code {code}); it said last:\n"
                    + said
                )
            await asyncio.sleep(0.5)

    async def _run_once(self) -> int:
        identity = f"local-{uuid.uuid4().hex[:12]}"
        self._announce(identity)
        process = await asyncio.create_subprocess_exec(
            *self._command, "--id", identity,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            # Its own process group: a Ctrl-C on the terminal is for the run, which then drains the agent.
            start_new_session=True,
        )  # fmt: skip
        reader = asyncio.create_task(self._read(process))
        try:
            code = await process.wait()
            self._died(identity, code)
            return code
        finally:
            await asyncio.shield(_end(process))
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        # In chunks, not lines: a line without end must not stop the reading, or the agent would block on its pipe.
        rest = ""
        while chunk := await process.stdout.read(65_536):
            *lines, rest = (rest + chunk.decode(errors="replace"))[-1_000_000:].split("\n")
            for line in lines:
                self._tail.append(line)
                _log.info("evaluator", line=line)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def socket_folder() -> Path:
    """Return a new private folder (mode 0700) with a path short enough for a Unix socket (108 bytes)."""
    return Path(tempfile.mkdtemp(prefix="xnas-", dir="/tmp" if Path("/tmp").is_dir() else None))
