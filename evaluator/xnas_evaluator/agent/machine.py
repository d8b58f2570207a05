"""What the agent can learn of the machine without torch: accelerators, memory, cores."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_GPUS = Path("/proc/driver/nvidia/gpus")
_CGROUPS = Path("/sys/fs/cgroup")


def accelerators() -> list[str]:
    """Return the model names of the NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves visible."""
    try:
        found = [_model(folder / "information") for folder in sorted(_GPUS.iterdir())]
    except OSError:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    wanted = [part for part in visible.split(",") if part.strip()]
    return [] if "-1" in wanted else found[: len(wanted)]


def _model(file: Path) -> str:
    for line in file.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Model":
            return value.strip()
    return "NVIDIA GPU"


def cores() -> int:
    """Return the number of cores that this process may use: affinity, and the cgroup's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_cgroup() / "cpu.max").read_text().split()
        if quota != "max":
            usable = min(usable, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, usable)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        total = int(process.memory_info().rss)
        for child in process.children(recursive=True):
            try:
                total += int(child.memory_info().rss)
            except psutil.Error:
                continue
        return total
    except psutil.Error:
        return 0


def oom_kills() -> int:
    """Return how many processes of this cgroup the kernel has killed for memory; 0 where that is not known."""
    try:
        for line in (_cgroup() / "memory.events").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except (OSError, ValueError):
        pass
    return 0


def _cgroup() -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            own = _CGROUPS / line[3:].lstrip("/")
            return own if own.is_dir() else _CGROUPS
    return _CGROUPS
