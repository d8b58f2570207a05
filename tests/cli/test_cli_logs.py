"""Logs: on standard error, quiet unless asked for, one JSON object a line if asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import structlog
from xnas_core.cli.logs import configure, turning_points
from xnas_core.cli.session import LogFormat
log = structlog.get_logger("early")
configure({verbosity}, LogFormat.{form})
log.debug("fine grain", x=1)
log.info("information", x=2)
log.warning("careful", path="a b")
turning_points().info("generation", number=3)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def _logged(verbosity: int, form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(verbosity=verbosity, form=form)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize(("verbosity", "shown"), [(0, 3), (1, 4), (2, 5), (7, 5)])
def test_verbosity_and_json(verbosity: int, shown: int) -> None:
    entries = [json.loads(line) for line in _logged(verbosity, "JSON")]
    assert len(entries) == shown
    assert {"event": "careful", "level": "warning", "path": "a b"}.items() <= entries[-3].items()
    assert entries[-3]["timestamp"].endswith("Z")
    assert (entries[-2]["event"], entries[-2]["number"]) == ("generation", 3)
    assert "ZeroDivisionError" in entries[-1]["exception"]


def test_lines_for_people() -> None:
    lines = _logged(0, "CONSOLE")
    assert lines[0][8:] == " [warning] careful path='a b'"
    assert lines[1][8:] == " [info] generation number=3"


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    code = CODE.format(verbosity=1, form="CONSOLE") + "print('went on')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "went on\n")
