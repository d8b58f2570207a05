"""The agent's command line and its settings."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from xnas_core.errors import InvalidInputError
from xnas_evaluator.agent import machine
from xnas_evaluator.agent.backoff import Backoff
from xnas_evaluator.agent.settings import AgentSettings, parse


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XNAS_TOKEN", raising=False)
    monkeypatch.setenv("XNAS_CACHE", "/somewhere")
    settings = parse(["--connect", "unix:/tmp/s"])
    assert settings.slots == 1
    assert settings.device == "auto"
    assert settings.token is None
    assert settings.cache == Path("/somewhere")
    assert settings.hang_seconds == 600
    assert parse(["--connect", "unix:/tmp/s"]).id != settings.id, "an id is new for each agent process"


def test_token_from_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNAS_TOKEN", "from environment")
    assert parse(["--connect", "host:1"]).token == "from environment"
    (tmp_path / "token").write_text(" from-file\n")
    settings = parse(["--connect", "host:1", "--token-file", str(tmp_path / "token")])
    assert settings.bearer() == "from-file"
    (tmp_path / "token").write_text("renewed")
    assert settings.bearer() == "renewed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connect", "nowhere"], "not an address"),
        (["--connect", "unix:/s", "--slots", "0"], "0 slots"),
        (["--connect", "unix:/s", "--slots", "65"], "65 slots"),
        (["--connect", "unix:/s", "--device", "tpu"], "unknown device 'tpu'"),
        (["--connect", "unix:/s", "--memory-limit-mb", "1"], "too small"),
        (["--connect", "unix:/s", "--token-file", "/does/not/exist"], "token file"),
        (["--connect", "unix:/s", "--token-file", "/dev/null"], "holds no token"),
    ],
)
def test_impossible_settings_are_named(arguments: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse(arguments)


def test_pauses_grow_to_a_bound_and_differ() -> None:
    backoff = Backoff(first=1.0, limit=8.0, rng=random.Random(1))
    pauses = [backoff.next() for _ in range(50)]
    for pause, full in zip(pauses, [1.0, 2.0, 4.0, *[8.0] * 47], strict=True):
        assert full / 2 <= pause <= full
    assert len(set(pauses[3:])) == 47
    backoff.reset()
    assert backoff.next() <= 1.0


def test_memory_and_cores_of_this_process() -> None:
    assert machine.resident_bytes(os.getpid()) > 1_000_000
    assert machine.resident_bytes(2**22 - 1) == 0
    assert machine.cores() >= 1
    assert machine.oom_kills() >= 0


def test_accelerators_are_read_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    monkeypatch.setattr(machine, "_GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.accelerators() == ["NVIDIA H100", "NVIDIA H100"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert machine.accelerators() == ["NVIDIA H100"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert machine.accelerators() == []
    monkeypatch.setattr(machine, "_GPUS", tmp_path / "absent")
    assert machine.accelerators() == []


def test_slots_share_accelerators_and_cores() -> None:
    from xnas_core.testing.evaluator_contract import CONFIG
    from xnas_evaluator.agent.agent import Agent

    agent = Agent.__new__(Agent)
    agent.settings = AgentSettings("unix:/s", slots=64)
    assert agent._threads(CONFIG) == 1
    spec = {**CONFIG.spec, "training": {"threads": 3}}
    assert agent._threads(CONFIG.model_copy(update={"spec": spec})) == 3
    agent._gpus = 2
    assert [agent._device_of(n) for n in range(3)] == ["auto:0", "auto:1", "auto:2"]
    agent.settings = AgentSettings("unix:/s", device="cuda")
    assert [agent._device_of(n) for n in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    agent.settings = AgentSettings("unix:/s", device="cpu")
    assert agent._device_of(0) == "cpu"
