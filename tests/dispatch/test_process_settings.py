"""Processes that end with their parent, and the interpreter of a process that serves."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

from xnas_core import interpreter

CHILD = "import sys; from xnas_core.lifetime import end_with_parent; end_with_parent(int(sys.argv[1])); print('alive')"


def test_a_process_goes_on_with_its_parent_and_not_with_another() -> None:
    for parent, said in ((os.getpid(), "alive\n"), (2**22 - 1, "")):
        child = subprocess.run([sys.executable, "-c", CHILD, str(parent)], capture_output=True, text=True, check=True)
        assert child.stdout == said


def test_a_process_ends_when_its_parent_is_killed() -> None:
    # The middle process starts the child and is killed; the child would sleep for a minute.
    child = CHILD.replace("print('alive')", "import time; print('alive', flush=True); time.sleep(60)")
    middle = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", middle], capture_output=True, text=True, check=False)
    number = int(ended.stdout)
    for _ in range(200):
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return
        except FileNotFoundError:
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("the child outlived its parent")


def test_the_interpreter_is_tuned() -> None:
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    try:
        interpreter.tune()
        assert gc.get_threshold()[0] > threshold[0]
        assert gc.get_freeze_count() > 0
        assert sys.getswitchinterval() < interval
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
        gc.unfreeze()


def test_a_tuned_interpreter_is_put_back() -> None:
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    with interpreter.tuned():
        assert gc.get_threshold()[0] > threshold[0]
        assert sys.getswitchinterval() < interval
    assert gc.get_threshold() == threshold
    assert sys.getswitchinterval() == interval
