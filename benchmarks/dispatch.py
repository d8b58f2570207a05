"""Dispatch: 1,000 simulated evaluators over real gRPC, with engine and journal, beside bare gRPC streams.

Two loads, each for both: "as fast as possible" (evaluations take no time: the capacity) and "paced" (evaluations take
0.97 s, half more or less: 1,000 a second are done if a free slot waits 30 ms on average, and 1,031 if it never waits).

The wait is measured twice: by the evaluator, from the end of an evaluation to the next assignment, and by the server,
from the arrival of the result until the next assignment is queued on the stream. Between the two lie gRPC and the
evaluators' own event loop, which all of them share here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import structlog

from benchmarks.machine_load import Others
from benchmarks.results_table import Table
from xnas_core import interpreter
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts.folder import FolderStore
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.interface import AttemptCompleted, FreeSlot
from xnas_core.dispatch.leases import Instruction, Report
from xnas_core.dispatch.listener import OPTIONS
from xnas_core.dispatch.server import DispatchServer
from xnas_core.journal import Journal
from xnas_core.search.engine import Engine
from xnas_core.search.events import Started
from xnas_core.search.loop import SearchLoop
from xnas_core.tasks import Assignment, EvaluationConfig

GOAL_RATE = 1000.0
GOAL_WAIT_MS = 50.0
PACED = "paced"
FAST = "as fast as possible"
PACED_SECONDS = 0.97
"""Mean duration of an evaluation for each 1,000 evaluators; see the module."""
RESPONSE_BYTES = 1500
"""Size of a bare response; the benchmark prints that of a real assignment beside it."""

SPEC = {
    "seed": 1,
    "searchSpace": {"name": "mobile"},
    "dataset": {"name": "cifar10"},
    "objectives": [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "introspectability", "direction": "maximize"},
    ],
    "algorithm": {"mode": "steadyState", "populationSize": 64},
    "limits": {"maxEvaluations": 1_000_000},
}


@dataclass(frozen=True)
class Measured:
    """One load on one server."""

    evaluations: int
    seconds: float
    waits_ms: np.ndarray
    server_waits_ms: np.ndarray
    server_cpu_seconds: float
    client_cpu_seconds: float
    others_cores: float | None

    @property
    def rate(self) -> float:
        """Evaluations a second."""
        return self.evaluations / self.seconds

    def percentile(self, share: float) -> float:
        """Return a percentile of the wait from free slot to assignment, in ms, as the evaluator sees it."""
        return float(np.percentile(self.waits_ms, share))

    def server_percentile(self, share: float) -> str:
        """Return a percentile of the server's part of the wait, in ms; "" where there is none."""
        return f"{np.percentile(self.server_waits_ms, share):.1f}" if len(self.server_waits_ms) else ""


class TimedServer(DispatchServer):
    """Notes how long slots wait in the server: from an attempt's end to the next assignment."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.waits: list[float] = []
        self._runs_at: dict[str, str] = {}
        self._freed: dict[str, float] = {}

    def _act(self, instructions: Iterable[Instruction]) -> None:
        for instruction in (known := list(instructions)):
            if isinstance(instruction, Report) and isinstance(instruction.event, AttemptCompleted):
                evaluator = self._runs_at.pop(instruction.event.result.task_id, None)
                if evaluator is not None:
                    self._freed[evaluator] = self._now()
        super()._act(known)

    def assign(self, slot: FreeSlot, assignment: Assignment) -> None:
        """See Dispatcher.assign."""
        super().assign(slot, assignment)
        self._runs_at[assignment.task_id] = slot.evaluator
        freed = self._freed.pop(slot.evaluator, None)
        if freed is not None:
            self.waits.append(self._now() - freed)


class Clients:
    """The processes that hold the evaluators."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    @classmethod
    async def start(cls, address: str, options: argparse.Namespace, mean: float, *, bare: bool) -> Clients:
        """Start them."""
        share = options.evaluators // options.clients
        processes = []
        for number in range(options.clients):
            command = [
                sys.executable, "-m", "benchmarks.dispatch_client", "--address", address,
                "--first", str(number * share), "--count", str(share), "--mean", str(mean),
                "--connections", str(max(1, options.connections // options.clients)),
            ]  # fmt: skip
            processes.append(
                await asyncio.create_subprocess_exec(
                    *command,
                    *(["--bare"] if bare else []),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=256 * 1024 * 1024,
                )
            )
        return cls(processes)

    async def measure(self, options: argparse.Namespace, server_waits: list[float]) -> Measured:
        """Let them run in, then count for a while."""
        await asyncio.sleep(options.warm_up)
        await self._say("measure")
        server_waits.clear()
        used, others = time.process_time(), Others()
        await asyncio.sleep(options.seconds)
        used = time.process_time() - used
        own = np.array(server_waits) * 1000
        await self._say("report")
        reports = []
        for process in self._processes:
            if process.stdout is None:
                raise RuntimeError("a client without output")
            reports.append(json.loads(await process.stdout.readline()))
        waits = np.array([wait for report in reports for wait in report["waits"]]) * 1000
        clients = float(sum(report["cpu"] for report in reports))
        seconds = max(report["seconds"] for report in reports)
        return Measured(len(waits), seconds, waits, own, used, clients, others.cores(used + clients))

    async def stop(self) -> None:
        """End them."""
        await self._say("stop")
        for process in self._processes:
            await process.wait()

    async def _say(self, word: str) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.write(word.encode() + b"\n")
                await process.stdin.drain()


@asynccontextmanager
async def bare_server(address: str) -> AsyncIterator[None]:
    """Answer each message with one message."""
    response = bytes(RESPONSE_BYTES)

    async def connect(_requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        while isinstance(await context.read(), bytes):
            await context.write(response)

    server = grpc.aio.server(options=OPTIONS)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(connect)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare", {"Connect": handler}),))
    server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@dataclass
class Search:
    """A search that runs: its engine and the journal's folder."""

    engine: Engine
    journal: Journal
    server: TimedServer


@asynccontextmanager
async def search_server(address: str, folder: Path) -> AsyncIterator[Search]:
    """Run a whole search: engine, journal with fsync, dispatch."""
    spec = ArchitectureSearchSpec.model_validate(SPEC, strict=False)
    started = Started(
        time=time.time(),
        search_id="benchmark",
        spec=spec.to_document(),
        spec_digest="0" * 64,
        data_shape=(3, 32, 32, 10),
        versions={},
    )
    store = FolderStore(folder)
    engine, journal = Engine(started), Journal(store)
    journal.append([started])
    server = TimedServer(
        store,
        EvaluationConfig(search_id="benchmark", spec=started.spec, spec_digest=started.spec_digest),
        addresses=[address],
        grants=FolderGrants(folder),
    )
    await server.start()
    interpreter.tune()
    loop = SearchLoop(engine, journal, server)
    running = asyncio.ensure_future(loop.run())
    try:
        yield Search(engine, journal, server)
        if running.done():
            running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.stop(1.0, drain=False)


async def measure(options: argparse.Namespace, mean: float, *, bare: bool) -> tuple[Measured, int]:
    """Measure one load; returns also how many segments were written."""
    with tempfile.TemporaryDirectory(prefix="xnas-") as name:
        folder = Path(name)
        address = f"unix:{folder}/s"
        if bare:
            async with bare_server(address):
                clients = await Clients.start(address, options, mean, bare=True)
                measured = await clients.measure(options, [])
                await clients.stop()
                return measured, 0
        async with search_server(address, folder / "out") as search:
            clients = await Clients.start(address, options, mean, bare=False)
            before = search.journal.number
            measured = await clients.measure(options, search.server.waits)
            segments = search.journal.number - before
            await clients.stop()
            return measured, segments


def _row(name: str, measured: Measured, beside: Measured | None) -> list[str]:
    ratio = f"{measured.rate / beside.rate:.2f}" if beside else ""
    return [
        name,
        f"{measured.rate:,.0f}",
        ratio,
        f"{measured.percentile(50):.1f}",
        f"{measured.percentile(99):.1f}",
        measured.server_percentile(99),
        f"{measured.server_cpu_seconds / measured.evaluations * 1000:.2f}",
        f"{measured.client_cpu_seconds / measured.evaluations * 1000:.2f}",
        "" if measured.others_cores is None else f"{measured.others_cores:.2f}",
        f"{measured.evaluations:,}",
    ]


def main(argv: Sequence[str]) -> int:
    """Measure, print, write benchmarks/results/dispatch.{md,json}."""
    parser = argparse.ArgumentParser(prog="benchmarks.dispatch", description=__doc__)
    parser.add_argument("--evaluators", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=1, help="processes that hold the evaluators")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=5.0)
    parser.add_argument("--only", choices=["fast", "paced"], default=None)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args(argv)
    quiet()
    paced_seconds = PACED_SECONDS * options.evaluators / GOAL_RATE
    loads: list[tuple[str, float]] = [(FAST, 0.0), (PACED, paced_seconds)]
    rows, notes = [], []
    results: dict[tuple[str, bool], Measured] = {}
    for load, mean in loads:
        if (options.only == "fast" and mean) or (options.only == "paced" and not mean):
            continue
        bare, _ = asyncio.run(measure(options, mean, bare=True))
        ours, segments = asyncio.run(measure(options, mean, bare=False))
        results[load, True], results[load, False] = bare, ours
        rows += [_row(f"bare streams, {load}", bare, None), _row(f"XNAS, {load}", ours, bare)]
        notes.append(f"{load}: {ours.evaluations / max(1, segments):.0f} evaluations a journal segment")
    for text, load, value, met in _goals(results):
        notes.append(f"goal, {load}: {text}: {value} ({'met' if met else 'not met'})")
    table = Table(
        "dispatch",
        f"Dispatch: {options.evaluators:,} simulated evaluators, steadyState, engine and journal on, over gRPC",
        [
            "what", "evaluations/s", "ratio to bare", "free slot to assigned, median (ms)", "99th percentile (ms)",
            "server's part, 99th percentile (ms)", "server CPU an evaluation (ms)",
            "evaluators' CPU an evaluation (ms)", "cores that others used", "evaluations",
        ],
        rows,
        notes,
    )  # fmt: skip
    if options.no_write:
        print(table.markdown())
    else:
        table.publish()
    return 0


def _goals(results: dict[tuple[str, bool], Measured]) -> list[tuple[str, str, str, bool]]:
    goals: list[tuple[str, str, str, bool]] = []
    checks: list[tuple[str, str, Callable[[Measured], float], Callable[[float], bool]]] = [
        (FAST, f"{GOAL_RATE:,.0f} evaluations/s", lambda m: m.rate, lambda v: v >= GOAL_RATE),
        (PACED, f"{GOAL_RATE:,.0f} evaluations/s", lambda m: m.rate, lambda v: v >= GOAL_RATE),
        (PACED, f"99th percentile {GOAL_WAIT_MS:g} ms", lambda m: m.percentile(99), lambda v: v <= GOAL_WAIT_MS),
    ]
    for load, text, value, met in checks:
        if (load, False) in results:
            number = value(results[load, False])
            goals.append((text, load, f"{number:,.1f}", met(number)))
    return goals


def quiet() -> None:
    """Leave out what servers log of each of the thousand connections."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
