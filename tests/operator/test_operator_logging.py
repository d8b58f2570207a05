"""One JSON object a line, whoever logs, and never a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from xnas_operator.logging_setup import bound, configure

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def lines() -> Iterator[Any]:
    """What was logged since the last call, parsed."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("aiohttp.access", "kubernetes", "urllib3")}
    stream = io.StringIO()
    configure("info", stream)

    def read() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        return [json.loads(line) for line in text.splitlines()]

    yield read
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_ours_and_others_lines_look_alike(lines: Any) -> None:
    with bound(search="digits", namespace="team"):
        structlog.get_logger("ours").info("scored", candidate="c0123456789ab", evaluations=3)
        logging.getLogger("theirs").warning("%s is %d", "it", 5)
    structlog.get_logger("ours").info("outside")
    ours, theirs, outside = lines()
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "scored",
        "level": "info",
        "logger": "ours",
        "search": "digits",
        "namespace": "team",
        "candidate": "c0123456789ab",
        "evaluations": 3,
    }
    assert (theirs["event"], theirs["level"], theirs["search"]) == ("it is 5", "warning", "digits")
    assert "search" not in outside


async def test_tasks_keep_what_was_bound_where_they_began(lines: Any) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        structlog.get_logger().info("at work")

    with bound(search="one"):
        one = asyncio.create_task(work())
    with bound(search="two"):
        two = asyncio.create_task(work())
    await asyncio.gather(one, two)
    assert [line["search"] for line in lines()] == ["one", "two"]


def test_kopf_names_its_object(lines: Any) -> None:
    about = {"namespace": "team", "name": "digits", "kind": "ArchitectureSearch"}
    logging.getLogger("kopf.objects").warning("Handler failed", extra={"k8s_ref": about})
    (line,) = lines()
    assert (line["namespace"], line["search"], line["logger"]) == ("team", "digits", "kopf.objects")


def test_below_the_level_nothing_is_written(lines: Any) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("theirs").debug("detail")
    logging.getLogger("aiohttp.access").info("GET /healthz")
    assert lines() == []


def test_errors_and_warnings_are_one_line(lines: Any) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("theirs").exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("old", UserWarning, stacklevel=1)
    ours, theirs, warning = lines()
    assert "ValueError: broken" in ours["exception"]
    assert "ValueError: broken" in theirs["exception"]
    assert "UserWarning: old" in warning["event"]


@pytest.mark.parametrize(
    "log",
    [
        lambda: structlog.get_logger().info("called", authorization=f"Bearer {TOKEN}"),
        lambda: structlog.get_logger().info(f"sent Bearer {TOKEN}"),
        lambda: structlog.get_logger().info("called", headers={"Authorization": TOKEN, "x": [f"a {TOKEN}"]}),
        lambda: structlog.get_logger().info("called", why=ValueError(f"refused {TOKEN}")),
        lambda: logging.getLogger("theirs").warning("got %s", TOKEN),
        lambda: structlog.get_logger().info("made", url=f"https://s3/x?X-Amz-Signature={TOKEN}&y=1"),
        lambda: structlog.get_logger().info("x", secret_key=TOKEN),
        lambda: structlog.get_logger().info(f"-----BEGIN EC PRIVATE KEY-----\n{TOKEN}\n-----END EC PRIVATE KEY-----"),
    ],
)
def test_secrets_are_hidden(lines: Any, log: Any) -> None:
    log()
    (line,) = lines()
    text = json.dumps(line)
    assert TOKEN not in text
    assert "c2lnbmF0dXJl" not in text
    assert "[hidden]" in text


def test_a_secret_in_a_traceback_is_hidden_too(lines: Any) -> None:
    try:
        raise ValueError(f"Bearer {TOKEN}")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert TOKEN not in json.dumps(lines())
