"""Describe the search's data in a process of its own, since the agent reads none (protocol.md §6.11)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import ValidationError

from xnas_core.dispatch import messages as m
from xnas_core.tasks import DataDescription, EvaluationConfig
from xnas_evaluator.agent.link import Denied
from xnas_evaluator.agent.settings import AgentSettings

_log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 1800.0
"""Reading and decoding a large data set for the first time takes minutes."""
_EXPIRED = "StoreAccessRefused"


async def describe(
    config: EvaluationConfig, settings: AgentSettings, ask: Callable[[str], Awaitable[str | Denied]]
) -> m.Described:
    """Return what the data of the search are, or why they cannot be used. They are kept in the cache folder.

    Args:
        ask: returns a URL to read a data set in a store with.
    """
    asked_for = ("dataset", "benchmark", "seed", "objectives")
    question: dict[str, Any] = {key: config.spec[key] for key in asked_for if key in config.spec}
    if settings.store_ca_file is not None:
        question["storeCaFile"] = str(settings.store_ca_file)
    uri, here = _address(config), 0
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                if uri is not None:
                    url = await ask(uri)
                    if isinstance(url, Denied):
                        return m.Described(None, m.bounded(url.sentence), transient=not url.final)
                    question["url"] = url
                answer, said = await _asked(question, settings)
                # A URL holds for minutes. What was read with it is kept, and the next one goes on from there.
                if answer.get("reason") != _EXPIRED or answer.get("bytesHere", 0) <= here:
                    return _described(answer, said)
                here = answer["bytesHere"]
    except TimeoutError:
        return m.Described(None, f"the data could not be read within {DEADLINE_SECONDS:.0f} s", transient=True)


async def _asked(question: dict[str, Any], settings: AgentSettings) -> tuple[dict[str, Any], str]:
    """Return the process's answer and, where it gave none, what it said last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "xnas_evaluator.datasets.describe",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "XNAS_CACHE": str(settings.cache)},
    )  # fmt: skip
    try:
        said, errors = await process.communicate(json.dumps(question).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer = json.loads(said)
        if isinstance(answer, dict):
            return answer, ""
    except ValueError:
        pass
    last = (errors.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
    return {}, f"exit code {process.returncode}: {last[:500]}"


def _described(answer: dict[str, Any], said: str) -> m.Described:
    try:
        if "error" in answer:
            transient = answer["reason"] in ("StoreUnavailable", _EXPIRED)
            return m.Described(None, m.bounded(str(answer["error"])), transient=transient)
        return m.Described(DataDescription.model_validate(_fields(answer)))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        said = said or f"an answer that cannot be read: {error}"[:500]
        _log.warning("the data could not be described", said=said)
        return m.Described(None, m.bounded(f"reading the data ended with {said}"), transient=True)


def _address(config: EvaluationConfig) -> str | None:
    dataset = config.spec.get("dataset")
    source = dataset.get("source") if isinstance(dataset, dict) else None
    place = source.get("npz") if isinstance(source, dict) else None
    return place if isinstance(place, str) and place.startswith("s3://") else None


def _fields(answer: dict[str, Any]) -> dict[str, Any]:
    if "ranges" in answer:
        return {"ranges": {name: tuple(pair) for name, pair in answer["ranges"].items()}, "digest": answer["digest"]}
    return {
        "shape": tuple(int(answer[key]) for key in ("channels", "height", "width", "classes")),
        "class_names": tuple(answer["classNames"]),
        **{key: int(answer[key]) for key in ("train", "validation", "test")},
        "digest": answer["digest"],
    }
