"""The worker's loop: configuration, warm-up, attempts."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from xnas_core import lifetime
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts import keys
from xnas_core.dispatch.messages import MAX_RESULT_BYTES
from xnas_core.dispatch.messages import explain as explain_validation
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.tasks import Assignment, EndReason, TaskResult
from xnas_evaluator import pipe, tasks
from xnas_evaluator.context import TaskCancelledError, TaskContext, UnfitError, fit
from xnas_evaluator.worker.context import WorkerContext
from xnas_evaluator.worker.failures import explain
from xnas_evaluator.worker.inbox import Inbox

Task = Callable[[TaskContext], TaskResult]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent gives a worker on its command line.

    Attributes:
        descriptor: of the socket that the agent holds the other end of.
        parent: process id of the agent; the worker ends with it.
        device: "auto", "cpu", "cuda" or "cuda:<n>".
        threads: CPU threads.
        cache: folder for decoded data.
        store_ca_file: certificates that a store's must be signed by; None: the system's.
        tasks: `module:function` that carries out attempts; "" for the built-in one.
    """

    descriptor: int
    parent: int
    device: str
    threads: int
    cache: Path
    store_ca_file: Path | None
    tasks: str


def main(settings: Settings) -> int:
    """Serve the agent until it is gone."""
    lifetime.end_with_parent(settings.parent)
    inbox = Inbox(socket.socket(fileno=settings.descriptor))
    task: Task = _load(settings.tasks) if settings.tasks else tasks.run
    prepared: _Prepared | Exception = InvalidInputError("no search was configured")
    while True:
        work = inbox.next_work()
        if isinstance(work, pipe.Configure):
            prepared = _prepare(settings, work)
            inbox.send(pipe.Ready(device=settings.device if isinstance(prepared, Exception) else prepared.device))
        elif isinstance(prepared, Exception):
            inbox.send(_ended(work.assignment, *explain(prepared)))
        else:
            context = WorkerContext(
                inbox,
                work.assignment,
                prepared.spec,
                device=prepared.device,
                threads=settings.threads,
                cache=settings.cache,
                store_ca_file=settings.store_ca_file,
            )
            inbox.send(_carry_out(task, context))


@dataclass(frozen=True, slots=True)
class _Prepared:
    spec: ArchitectureSearchSpec
    device: str


def _prepare(settings: Settings, work: pipe.Configure) -> _Prepared | UnfitError:
    """Read the spec and import what its tasks need; an error is kept for the tasks, which end with it."""
    try:
        spec = ArchitectureSearchSpec.model_validate_json(json.dumps(work.config.spec))
        if settings.tasks:
            return _Prepared(spec, settings.device)
        tasks.warm_up(spec)
        return _Prepared(spec, _device(settings.device))
    except ValidationError as error:
        return UnfitError(f"this evaluator cannot read the search's spec; update it ({explain_validation(error)})")
    except UnfitError as error:
        return error
    except Exception as error:  # noqa: BLE001  (importing can raise anything; tasks report it)
        return UnfitError(f"this evaluator's libraries cannot be used ({type(error).__name__}: {error})")


def _carry_out(task: Task, context: WorkerContext) -> pipe.Done | pipe.Ended:
    assignment = context.assignment
    try:
        with fit(assignment.data_digest):
            context.fetch_data()
        result = task(context)
        document = result.model_dump_json().encode()
        if len(document) > MAX_RESULT_BYTES:
            text = f"the result has {len(document)} bytes; at most {MAX_RESULT_BYTES} are kept"
            return _failed(context, EndReason.BAD_RESULT, text)
        _check(result, assignment)
        # Stored first, so that the result outlives whatever happens to us before it is acknowledged (§6.4).
        context.put(keys.RESULT, document)
        return pipe.Done(task_id=assignment.task_id, result_json=document.decode())
    except Exception as error:  # noqa: BLE001  (whatever a plug-in raises ends the attempt, not the worker)
        return _failed(context, *explain(error))


def _check(result: TaskResult, assignment: Assignment) -> None:
    said = (result.task_id, result.kind, result.candidate_id, result.attempt)
    if said != (assignment.task_id, assignment.kind, assignment.candidate_id, assignment.attempt):
        raise ValueError(f"the task returned the result of another attempt: {said}")


def _failed(context: WorkerContext, reason: EndReason, message: str) -> pipe.Ended:
    ended = _ended(context.assignment, reason, message)
    if reason not in (EndReason.CANCELLED, EndReason.STORE_UNAVAILABLE):
        # For people who look into the folder; the failure itself travels in the message.
        with contextlib.suppress(XnasError, OSError, MemoryError, TaskCancelledError):
            context.put(keys.FAILURE, ended.failure.model_dump_json().encode())
    return ended


def _ended(assignment: Assignment, reason: EndReason, message: str) -> pipe.Ended:
    failure = assignment.failure(reason, message)
    return pipe.Ended(failure=failure, poisoned=reason is EndReason.DEVICE_ERROR)


def _load(name: str) -> Task:
    module, _, attribute = name.partition(":")
    function: Task = getattr(import_module(module), attribute)
    return function


def _device(wanted: str) -> str:
    """Return the device that there really is: `auto` is the accelerator if torch can use it.

    Raises:
        UnfitError: there is no such device.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu"
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("auto:"):
        # "auto:<n>": the n-th accelerator if there is one.
        number = int(wanted.removeprefix("auto:"))
        return f"cuda:{number % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UnfitError("there is no CUDA device here, or PyTorch cannot use it; use --device auto or cpu")
    return wanted


def arguments(argv: list[str]) -> Settings:
    """Read the command line that the agent makes."""
    parser = argparse.ArgumentParser(prog="xnas_evaluator.worker", description=__doc__)
    parser.add_argument("--descriptor", type=int, required=True)
    parser.add_argument("--parent-pid", type=int, default=os.getppid())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--store-ca-file", type=Path)
    parser.add_argument("--tasks", default="", help="module:function that carries out attempts (for tests)")
    known = parser.parse_args(argv)
    return Settings(
        known.descriptor,
        known.parent_pid,
        known.device,
        known.threads,
        known.cache,
        known.store_ca_file,
        known.tasks,
    )
