"""Describe the search's data in a process of its own, since the agent reads none (protocol.md §6.11)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from xnas_core.dispatch import messages as m
from xnas_core.tasks import DataDescription, EvaluationConfig

_log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 1800.0
"""Decoding a large image folder for the first time takes minutes."""


async def describe(config: EvaluationConfig, cache: Path) -> m.Described:
    """Return what the data of the search are, or why they cannot be used. Decoded data are kept in `cache`."""
    spec = config.spec
    question = {key: spec[key] for key in ("dataset", "benchmark", "seed", "objectives") if key in spec}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "xnas_evaluator.datasets.describe",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "XNAS_CACHE": str(cache)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            said, errors = await process.communicate(json.dumps(question).encode())
    except TimeoutError:
        return m.Described(None, f"the data could not be read within {DEADLINE_SECONDS:.0f} s", transient=True)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer: dict[str, Any] = json.loads(said)
        if "error" in answer:
            return m.Described(None, m.bounded(str(answer["error"])), transient=answer["reason"] == "StoreError")
        return m.Described(DataDescription.model_validate(_fields(answer)))
    except (ValueError, KeyError, TypeError, ValidationError):
        last = (errors.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        _log.warning("the data could not be described", exit_code=process.returncode, said=last)
        text = f"reading the data ended with exit code {process.returncode}: {last[:500]}"
        return m.Described(None, text, transient=True)


def _fields(answer: dict[str, Any]) -> dict[str, Any]:
    if "ranges" in answer:
        return {"ranges": {name: tuple(pair) for name, pair in answer["ranges"].items()}, "digest": answer["digest"]}
    return {
        "shape": tuple(int(answer[key]) for key in ("channels", "height", "width", "classes")),
        "class_names": tuple(answer["classNames"]),
        **{key: int(answer[key]) for key in ("train", "validation", "test")},
        "digest": answer["digest"],
    }
