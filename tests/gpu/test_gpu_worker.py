"""Worker processes on a CUDA device: how errors of the device end an attempt, and a whole search."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.gpu.gpu_device import DEVICE, MARKS
from xnas_core.artifacts.keys import RESULT
from xnas_core.local import open_search
from xnas_core.tasks import EndReason, FailureClass, TaskKind, TaskResult, classify
from xnas_core.testing.agent_site import site
from xnas_core.testing.command_line import xnas_process
from xnas_core.testing.evaluator_contract import assignment
from xnas_evaluator.worker.failures import explain

pytestmark = MARKS

# A worker imports it: what a task does is its encoding.
TASKS = """
import os
import torch
from xnas_evaluator.networks.build import build
from xnas_evaluator.testing_networks import small_graph

def run(context):
    device, word = context.device, context.assignment.encoding
    assert device.startswith("cuda"), device
    if word == "too large":
        # As if the device had some 100 MB: the network's first layer alone puts out 4 GB.
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(100e6 / total)
        network = build(small_graph(side=64, width=64)).to(device)
        network(torch.zeros(4096, 1, 64, 64, device=device))
    if word == "out of bounds":
        torch.zeros(3, device=device)[torch.tensor([7], device=device)]
        torch.cuda.synchronize()
    total = torch.ones(1000, device=device).sum().item()
    return context.assignment.result(
        {"accuracy": total / 1000}, environment={"pid": str(os.getpid()), "device": device}
    )
"""

SEARCH = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: gpu}
spec:
  seed: 5
  searchSpace: {name: nas-bench-201, parameters: {cellsPerStage: 1, channels: 4}}
  dataset: {name: digits}
  training: {epochs: 2, batchSize: 64, threads: 1}
  objectives:
    - {name: accuracy, direction: maximize}
    - {name: introspectability, direction: maximize}
    - {name: latency_ms, direction: minimize}
  explanations: {methods: [saliency, integratedGradients]}
  algorithm: {populationSize: 4}
  limits: {maxEvaluations: 6}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="xnas-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def options(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Options of an agent whose workers carry out TASKS on the device."""
    (folder / "gpu_tasks.py").write_text(TASKS)
    known = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(known))
    return "--device", DEVICE, "--tasks", "gpu_tasks:run"


async def test_a_network_too_large_for_the_device_is_out_of_memory(folder: Path, options: tuple[str, ...]) -> None:
    """Protocol.md §7: OutOfMemory, which counts against the limit; the worker is sound and serves on."""
    async with site(folder, *options) as here:
        first = await here.succeed(assignment(1))
        failure = await here.fail(assignment(2, "too large"))
        assert failure.reason is EndReason.OUT_OF_MEMORY
        assert classify(failure.reason) is FailureClass.FAILED
        assert "CUDA out of memory" in failure.message
        again = await here.succeed(assignment(3))
        assert again.environment == first.environment


async def test_an_error_that_poisons_the_device_costs_the_worker(folder: Path, options: tuple[str, ...]) -> None:
    """Protocol.md §7: DeviceError. Nothing works in such a process any more, so the next attempt has another one."""
    async with site(folder, *options) as here:
        first = await here.succeed(assignment(1))
        failure = await here.fail(assignment(2, "out of bounds"))
        assert failure.reason is EndReason.DEVICE_ERROR
        assert classify(failure.reason) is FailureClass.FAILED
        again = await here.succeed(assignment(3))
        assert again.metrics == {"accuracy": 1.0}
        assert again.environment["pid"] != first.environment["pid"]
        assert [str(worker.pid) for worker in here.workers()] == [again.environment["pid"]]


def test_an_allocation_beyond_the_device_is_out_of_memory() -> None:
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2 * total, dtype=torch.uint8, device=DEVICE)
    reason, message = explain(raised.value)
    assert reason is EndReason.OUT_OF_MEMORY
    assert message.startswith("OutOfMemoryError: CUDA out of memory")
    # The device is not poisoned.
    assert float(torch.ones(10, device=DEVICE).sum()) == 10


def test_a_whole_search_on_the_device(tmp_path: Path) -> None:
    """From the file to the front, with finalisation, explanations and diagnosis of what is on it."""
    file, output = tmp_path / "search.yaml", tmp_path / "out"
    file.write_text(SEARCH)
    told = xnas_process("run", file, "--output", output, "--device", DEVICE, "--json", timeout=240)
    assert told.code == 0, told.err
    document = json.loads(told.out)
    assert document["state"] == "Complete"
    assert document["evaluations"]["succeeded"] == 6
    assert document["front"]
    view = open_search(output)
    assert view.front
    results = [TaskResult.model_validate_json(path.read_bytes()) for path in output.rglob(RESULT)]
    kinds = [result.kind for result in results]
    assert kinds.count(TaskKind.EVALUATE) == 6
    assert kinds.count(TaskKind.FINALISE) >= len(view.front)
    precision = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    for result in results:
        assert result.environment["device"].startswith("cuda")
        assert result.environment["device_name"] == torch.cuda.get_device_name()
        assert result.environment["precision"] == precision
    assert all(r.metrics["latency_ms"] > 0 for r in results if r.kind is TaskKind.EVALUATE)
    finalised = [artifact.name for r in results if r.kind is TaskKind.FINALISE for artifact in r.artifacts]
    assert any("integratedGradients" in name for name in finalised)
    assert any("diagnosis" in name for name in finalised)
