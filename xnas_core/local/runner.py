"""`xnas run` without the terminal: folder, journal, engine, server and evaluator process put together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from xnas_core import plugins
from xnas_core.api import ArchitectureSearch, ArchitectureSearchSpec, resolve_paths, spec_digest
from xnas_core.artifacts import keys
from xnas_core.artifacts.retention import remove, remove_spent, spent_states, without_spent
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.server import DispatchServer
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.journal import Journal
from xnas_core.local.acceptance import check_data, check_unchanged, describe_data
from xnas_core.local.contract import RunningAttempt, RunObserver, RunOptions, RunOutcome, RunProgress, RunStarted
from xnas_core.local.evaluator_process import EvaluatorProcess, socket_folder
from xnas_core.local.folder import OutputFolder, SearchIdentity
from xnas_core.local.outputs import write_outputs
from xnas_core.search.acceptance import first_event
from xnas_core.search.engine import Engine
from xnas_core.search.events import Event
from xnas_core.search.ledger import RUNNING, SUCCEEDED, Attempt
from xnas_core.search.loop import LoopOutcome, SearchLoop
from xnas_core.search.recovery import recover
from xnas_core.search.requests import TaskRequest, checkpoint_key, gone
from xnas_core.search.requests import accept as accept_request
from xnas_core.search.viewing import record, view
from xnas_core.tasks import EndReason, EvaluationConfig, Progress

_PROGRESS_SECONDS = 0.1
_SERVER_GRACE_SECONDS = 5.0
_REFUSALS = 3
"""Attempts here that could not write their objects, none having succeeded between them, after which the run stops."""


@dataclass(slots=True)
class _Prepared:
    folder: OutputFolder
    identity: SearchIdentity
    engine: Engine
    journal: Journal
    spec: ArchitectureSearchSpec
    changed: tuple[str, ...]
    resumed: bool
    only_requested: bool = False


def run_search(
    search: ArchitectureSearch, source: Path, output: Path, options: RunOptions, observer: RunObserver
) -> RunOutcome:
    """Run a search in a folder until it is over, or until SIGINT or SIGTERM; then the same call goes on with it.

    Args:
        search: the resource.
        source: the file it came from; paths in it are relative to its folder.
        output: the output folder; made if absent.
        options: how to run.
        observer: hears of it.

    Raises:
        InvalidInputError: the folder is in use, holds something else, the data are missing, or a field was changed
            that may not change.
        IntegrityError: the journal is damaged.
        StoreError: the folder cannot be written.
        LostOwnershipError: another process took the search over.
        EvaluatorProcessError: the evaluator process keeps dying.
    """
    spec = resolve_paths(search.spec, source.resolve().parent)
    folder = OutputFolder(output)
    with folder.locked():
        prepared = _prepare(folder, search.metadata.name, spec)
        outcome = asyncio.run(_Run(prepared, options, observer).run())
        return _finish(prepared, outcome)


def run_tasks(output: Path, requests: Sequence[TaskRequest], options: RunOptions, observer: RunObserver) -> RunOutcome:
    """Do what is asked for in the output folder of a search, and nothing else; a search that was stopped stays so.

    What was asked for before and not done, because that run was stopped, is done too. A retry of a search that has not
    ended is only written down (protocol.md §3.1).

    Args:
        output: the output folder.
        requests: what is asked for; all of it is checked before anything is written.
        options: how to run.
        observer: hears of it.

    Raises:
        InvalidInputError: there is no search, a run holds the folder, or a task is not possible.
        Others: as `run_search`.
    """
    if not (output / keys.SEARCH).is_file():
        raise InvalidInputError(f"{output} holds no search; give the --output folder of an `xnas run`")
    folder = OutputFolder(output)
    with folder.locked("tasks can be asked for when it has ended; Ctrl-C stops it, and the same command goes on later"):
        identity = folder.identity()
        engine, journal = recover(folder.store)
        if identity is None or engine is None:
            raise InvalidInputError(f"{output} holds a search that has not begun yet; run `xnas run` first")
        events = _accept(engine, requests, folder)
        check_data(engine.started, engine.spec)
        if events:
            journal.append(events)
        stays = engine.finished is None
        prepared = _Prepared(folder, identity, engine, journal, engine.spec, (), True, only_requested=stays)
        return _finish(prepared, asyncio.run(_Run(prepared, options, observer).run()))


def _accept(engine: Engine, requests: Sequence[TaskRequest], folder: OutputFolder) -> list[Event]:
    """Return the events of the requests; the engine has heard of them."""
    events: list[Event] = []
    explainers = plugins.names(plugins.PluginKind.EXPLAINER)
    for request in requests:
        event = accept_request(engine, request, time.time(), explainers=explainers)
        if event is None:
            continue
        key = checkpoint_key(engine, request)
        try:
            if key is not None:
                folder.store.get(key)
        except KeyError as error:
            raise gone(request) from error
        engine.handle(event)
        events.append(event)
    return events


def _prepare(folder: OutputFolder, name: str, spec: ArchitectureSearchSpec) -> _Prepared:
    """Accept the search, or take it up where the journal leaves it."""
    # Before anything is written: a mistake in the data must not leave a half-made search behind.
    data = describe_data(spec) if folder.identity() is None else None
    identity = folder.claim(name)
    engine, journal = recover(folder.store)
    if engine is None:
        started = first_event(spec, identity.search_id, data or describe_data(spec))
        engine = Engine(started)
        journal.append([started])
        return _Prepared(folder, identity, engine, journal, spec, (), False)
    changed = check_unchanged(dict(engine.spec_document), spec)
    if not engine.done or changed:
        check_data(engine.started, spec)
    return _Prepared(folder, identity, engine, journal, spec, changed, True)


def _finish(prepared: _Prepared, outcome: LoopOutcome) -> RunOutcome:
    engine, folder = prepared.engine, prepared.folder
    whole = view(engine, prepared.identity.name)
    now = without_spent(whole)
    candidates, front, report = write_outputs(now, folder.store)
    if outcome == "finished" and engine.finished is not None:
        remove_spent(whole, folder.store)
        end = engine.finished
        return RunOutcome(end.state, end.reason, end.message, folder.path, now, report, candidates, front)
    message = "the search was stopped; the same command goes on with it"
    if engine.suspended:
        message = "the search is suspended (spec.suspend); set it to false and run the same command again"
    if prepared.only_requested:
        message = "the search has not ended; `xnas run` goes on with it"
    return RunOutcome("Stopped", "Stopped", message, folder.path, now, report, candidates, front)


class _Run:
    def __init__(self, prepared: _Prepared, options: RunOptions, observer: RunObserver) -> None:
        self._prepared = prepared
        self._engine = prepared.engine
        self._options = options
        self._observer = observer
        self._attempts: dict[str, Progress] = {}
        self._last_progress = 0.0
        self._states_removed = len(self._engine.arrivals)
        self._local: set[str] = set()
        self._watched: list[Attempt] = []
        self._refused = 0

    async def run(self) -> LoopOutcome:
        engine = self._engine
        if engine.problem.graph_only or (engine.done and not self._prepared.changed):
            loop = SearchLoop(engine, self._prepared.journal, None, on_turn=self._turned)
            self._announce(None, None, None)
            with self._interruptible(loop):
                return await self._run_loop(loop)
        return await self._run_with_evaluators()

    async def _run_with_evaluators(self) -> LoopOutcome:
        folder = socket_folder()
        token = (self._options.token or secrets.token_urlsafe(24)) if self._options.listen else None
        addresses = [f"unix:{folder / 's'}", *([self._options.listen] if self._options.listen else [])]
        # Evaluators of a run that has ended have ended with it, so their attempts are reported RunStopped at once.
        dead = {a.evaluator for t in self._engine.ledger.running() if (a := t.running()) is not None}
        self._local = {name for name in dead if name.startswith("local-")}
        server = DispatchServer(
            self._prepared.folder.store,
            self._config(),
            addresses=addresses,
            grants=FolderGrants(self._prepared.folder.path),
            token=token,
            local_evaluators=self._local,
        )
        try:
            await server.start()
            return await self._serve(server, addresses[0], token)
        finally:
            # Evaluators from elsewhere go home when the search is over, and wait for the next run otherwise.
            await server.stop(_SERVER_GRACE_SECONDS, drain=self._engine.done)
            shutil.rmtree(folder, ignore_errors=True)

    async def _serve(self, server: DispatchServer, socket: str, token: str | None) -> LoopOutcome:
        loop = SearchLoop(
            self._engine, self._prepared.journal, server, on_turn=self._turned, on_attempt=self._heard,
            only_requested=self._prepared.only_requested,
        )  # fmt: skip
        self._announce(socket, server.bound[1] if token else None, token)

        def died(evaluator: str, code: int) -> None:
            # Nobody will come back under this id, so its attempts need not wait for the grace period.
            server.report_end(evaluator, EndReason.LOST, f"the evaluator process ended with exit code {code}")

        slots = self._options.slots or self._engine.spec.evaluators.slots_per_evaluator
        process = EvaluatorProcess(socket, slots, self._options.device, self._local.add, died)
        with self._interruptible(loop) as stop:
            evaluator = asyncio.create_task(process.supervise())
            searching = asyncio.create_task(self._run_loop(loop))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({evaluator, searching, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if evaluator.done():
                    evaluator.result()
                if not searching.done():
                    # Asked to stop: the agent hands back what it runs, and the loop writes that down.
                    evaluator.cancel()
                return await searching
            finally:
                for task in (evaluator, searching, stopping):
                    # A second cancel would break into the ending of the agent that the first one began.
                    if not task.cancelling():
                        task.cancel()
                await asyncio.gather(evaluator, searching, stopping, return_exceptions=True)

    async def _run_loop(self, loop: SearchLoop) -> LoopOutcome:
        if self._prepared.changed:
            loop.change_limits(self._prepared.spec.to_document())
        return await loop.run()

    @contextlib.contextmanager
    def _interruptible(self, loop: SearchLoop) -> Iterator[asyncio.Event]:
        """Stop cleanly at the first SIGINT or SIGTERM, at once at the second."""
        stop = asyncio.Event()
        running = asyncio.get_running_loop()

        def asked() -> None:
            if stop.is_set():
                os._exit(130)
            stop.set()
            loop.request_stop()
            self._observer.on_message("info", "stopping; what runs is handed back (once more: stop at once)")

        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            running.add_signal_handler(number, asked)
        try:
            yield stop
        finally:
            for number in numbers:
                running.remove_signal_handler(number)

    def _config(self) -> EvaluationConfig:
        document = self._prepared.spec.to_document()
        return EvaluationConfig(
            search_id=self._prepared.identity.search_id, spec=document, spec_digest=spec_digest(document)
        )

    def _announce(self, socket: str | None, listening: str | None, token: str | None) -> None:
        self._observer.on_started(
            RunStarted(
                name=self._prepared.identity.name,
                search_id=self._prepared.identity.search_id,
                resumed=self._prepared.resumed,
                finished_before=len(self._engine.arrivals),
                max_evaluations=self._engine.progress().max_evaluations,
                changed=self._prepared.changed,
                socket=socket,
                listening=listening,
                token=token,
            )
        )

    def _heard(self, progress: Progress) -> None:
        self._attempts[progress.task_id] = progress
        self._tell()

    def _turned(self, _: Sequence[Event]) -> None:
        self._check_ends()
        finished = self._engine.arrivals[self._states_removed :]
        self._states_removed = len(self._engine.arrivals)
        for number in finished if not self._engine.problem.graph_only else ():
            remove(spent_states(record(self._engine, number)), self._prepared.folder.store)
        self._tell(always=bool(finished))

    def _check_ends(self) -> None:
        """Stop where no attempt can succeed any more: to try again would use up the limits of every candidate.

        Raises:
            StoreError: nothing can be written, as the attempts said.
            InvalidInputError: the data changed or went away since the search began.
        """
        ended = [attempt for attempt in self._watched if attempt.outcome != RUNNING]
        self._watched = [attempt for task in self._engine.ledger.running() if (attempt := task.running())]
        if any(attempt.outcome == SUCCEEDED for attempt in ended):
            self._refused = 0
        for attempt in ended:
            if attempt.outcome == EndReason.UNFIT.value and attempt.evaluator in self._local:
                raise InvalidInputError(attempt.message)
            # One from elsewhere may lack the folder, or its own disk be full; this run goes on without it.
            if attempt.outcome == EndReason.STORE_UNAVAILABLE.value and attempt.evaluator in self._local:
                self._refused += 1
                if self._refused == _REFUSALS:
                    raise StoreError(attempt.message)

    def _tell(self, *, always: bool = False) -> None:
        now = time.monotonic()
        if not always and now - self._last_progress < _PROGRESS_SECONDS:
            return
        self._last_progress = now
        progress = self._engine.progress()
        running = [(task.ref, attempt) for task in self._engine.ledger.running() if (attempt := task.running())]
        live = {attempt.task_id for _, attempt in running}
        self._attempts = {task_id: p for task_id, p in self._attempts.items() if task_id in live}
        attempts = []
        for ref, attempt in running:
            said = self._attempts.get(attempt.task_id) or Progress(task_id=attempt.task_id, epoch=0, epochs=0)
            attempts.append(RunningAttempt(ref.candidate, ref.kind, said.epoch, said.epochs, said.step, said.metrics))
        self._observer.on_progress(
            RunProgress(
                **asdict(progress),
                attempts=attempts,
            )
        )
