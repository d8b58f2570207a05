"""Metrics and explanations on a CUDA device: what the CPU says of the same float32 network."""

from __future__ import annotations

import copy
import gc
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tests.gpu.gpu_device import DEVICE, MARKS
from xnas_core.api.spec import DatasetSpec, Precision
from xnas_core.plugins import PluginKind, load, names
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_evaluator.datasets.load import load as load_dataset
from xnas_evaluator.diagnosis.gather import Subject, gather
from xnas_evaluator.explain.base import Explainer, Explanation, NotApplicableError
from xnas_evaluator.networks.build import GraphNetwork, build
from xnas_evaluator.objectives.latency import LatencySettings, latency_ms
from xnas_evaluator.objectives.measure import Measured, measure, plan
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_data, small_graph
from xnas_evaluator.testing_sampled_networks import Drawn, Sampled, sampled
from xnas_evaluator.testing_trained import DIGITS, digits_spec
from xnas_evaluator.training.device_data import DeviceData, to_device
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.settings import arithmetic

pytestmark = MARKS

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# Node 2 does not reach the output, so some of the activations are not live.
FUTILE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
UNPRUNED = {"cellsPerStage": 1, "channels": 4, "prune": False}
ASKED = {
    "by_true": ("introspectability", {"groupBy": "trueClass"}),
    "by_predicted": ("introspectability", {"groupBy": "predictedClass"}),
    "live": ("introspectability_live", {}),
    "futile": ("futile_share", {}),
    "calibration": ("expected_calibration_error", {}),
    "activation_calibration": ("activation_calibration", {}),
    "infidelity": ("infidelity", {"samplesPerClass": 1, "perturbations": 10}),
    "sensitivity": ("max_sensitivity", {"samplesPerClass": 1, "perturbations": 3}),
    "sparsity": ("sparsity", {"samplesPerClass": 1}),
    "agreement": ("explainer_agreement", {"samplesPerClass": 1}),
    "completeness": ("completeness_error", {"samplesPerClass": 1}),
    "sanity": ("randomization_sanity", {"samplesPerClass": 1}),
    "attacked": ("adversarial_accuracy", {}),
}
ALWAYS = ("accuracy", "loss", "introspectability_true_class", "introspectability_predicted_class")
EXPLAINERS = sorted(names(PluginKind.EXPLAINER))
NETWORKS = (Drawn("nas-bench-201", True, 1), Drawn("mobile", True, 0), Drawn("mobile", True, 1))


@dataclass(frozen=True)
class BothPlaces:
    """What was measured of one network in two places."""

    cpu: Measured
    device: Measured


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BothPlaces:
    """A network that was trained on the CPU, with futile activations in it, measured there and on the device."""
    root = tmp_path_factory.mktemp("measured")
    spec = digits_spec(
        training={"epochs": 3, "batchSize": 64, "optimizer": {"name": "adam", "learningRate": 0.01}},
        searchSpace={"name": "nas-bench-201", "parameters": UNPRUNED},
        metrics=[{"name": name, "metric": metric, "parameters": given} for name, (metric, given) in ASKED.items()],
    )
    space = NasBench201(UNPRUNED, DIGITS)
    dataset = load_dataset(DatasetSpec(name="digits"), spec.seed, root / "cache")
    here = arithmetic("cpu", Precision.FLOAT32)
    trainer = Trainer(
        build(space.graph(space.decode(FUTILE)), 11), to_device(dataset, here.device), spec.training, 11, here
    )
    for _ in range(trainer.epochs):
        trainer.run_epoch()

    def there(device: str) -> Measured:
        numbers = arithmetic(device, Precision.FLOAT32)
        network = copy.deepcopy(trainer.network).to(numbers.device).to(memory_format=numbers.memory_format)
        context = FolderContext(assignment(), spec, root / device, device=device)
        return measure(context, plan(spec), network, to_device(dataset, numbers.device), numbers, 1.0)

    return BothPlaces(there("cpu"), there(DEVICE))


def _close(found: Tensor, expected: Tensor, share: float = 1e-3) -> bool:
    """Whether they differ by at most this share of the expected one's Euclidean length."""
    expected = expected.double()
    return float((found.cpu().double() - expected).norm()) <= share * float(expected.norm()) + 1e-9


@pytest.mark.parametrize("name", [*ALWAYS, *ASKED])
def test_a_metric_has_the_value_that_the_cpu_finds(name: str, measured: BothPlaces) -> None:
    expected = measured.cpu.metrics[name]
    # Rank correlations move in steps, wherever rounding puts two pixels in another order.
    absolute = 2e-3 if name in ("agreement", "sanity") else 1e-5
    assert measured.device.metrics[name] == pytest.approx(expected, rel=1e-3, abs=absolute)


def test_the_metrics_compared_are_not_trivial(measured: BothPlaces) -> None:
    found = measured.cpu.metrics
    assert found["accuracy"] > 0.3
    # What is left out of `live` tells the classes less apart here than the rest, so the share is 0.
    assert found["live"] != found["by_predicted"]
    assert found["attacked"] < found["accuracy"]
    assert all(found[name] > 0 for name in ("calibration", "infidelity", "sensitivity", "sparsity", "completeness"))


def test_both_places_measure_the_same_things(measured: BothPlaces) -> None:
    assert measured.device.metrics.keys() == measured.cpu.metrics.keys()
    assert measured.device.errors.keys() == measured.cpu.errors.keys()


def test_there_are_nine_explainers() -> None:
    assert len(EXPLAINERS) == 9


def _explained(method: str, case: Sampled, device: str) -> Explanation | None:
    """Return what the method says, None where it does not apply; nothing may be left on the network."""
    explainer: Explainer = load(PluginKind.EXPLAINER, method)()
    network = copy.deepcopy(case.network).to(device)
    try:
        found = explainer.explain(network, case.images.to(device), case.targets.to(device), 7)
    except NotApplicableError:
        found = None
    assert [kind for module in network.modules() for kind in HOOKS if getattr(module, kind)] == []
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())
    weights = case.network.state_dict()
    assert all(torch.equal(value.cpu(), weights[name]) for name, value in network.state_dict().items())
    return found


@pytest.mark.parametrize("which", NETWORKS, ids=str)
@pytest.mark.parametrize("method", EXPLAINERS)
def test_an_explainer_says_what_it_says_on_the_cpu(method: str, which: Drawn) -> None:
    case = sampled(which)
    expected, found = _explained(method, case, "cpu"), _explained(method, case, DEVICE)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.attributions.device.type == torch.device(DEVICE).type
    assert _close(found.attributions, expected.attributions)
    assert found.parameters == expected.parameters
    assert found.layers.keys() == expected.layers.keys()
    magnitude = float(expected.attributions.abs().sum((1, 2, 3)).max())
    for name, share in expected.layers.items():
        assert float((found.layers[name].cpu() - share).abs().max()) <= 1e-3 * magnitude
    assert (found.deltas is None) == (expected.deltas is None)
    if found.deltas is not None and expected.deltas is not None:
        assert float((found.deltas.cpu() - expected.deltas).abs().max()) <= 1e-3 * magnitude


@pytest.mark.parametrize("which", NETWORKS, ids=str)
def test_integrated_gradients_add_up_to_the_score(which: Drawn) -> None:
    case = sampled(which)
    network, images, targets = copy.deepcopy(case.network).to(DEVICE), case.images.to(DEVICE), case.targets.to(DEVICE)
    explainer: Explainer = load(PluginKind.EXPLAINER, "integratedGradients")(n_steps=300)
    found = explainer.explain(network, images, targets, 7)
    with torch.no_grad():
        scores, nothing = (network(given).gather(1, targets[:, None])[:, 0] for given in (images, 0 * images))
    magnitude = found.attributions.abs().sum((1, 2, 3))
    missing = found.attributions.sum((1, 2, 3)) - (scores - nothing)
    assert bool((missing.abs() <= 0.01 * magnitude).all())
    assert found.deltas is not None
    assert bool((found.deltas.abs() <= 0.01 * magnitude).all())


def test_latency_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each start of the clock and before each stop, or the time would be that of filling a queue."""
    events: list[str] = []
    wait = torch.cuda.synchronize

    def synchronize(device: torch.device | None = None) -> None:
        events.append("wait")
        wait(device)

    def run(*_: object) -> None:
        events.append("run")

    network = build(small_graph(), 1).to(DEVICE).eval()
    network.register_forward_hook(run)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    for precision in (Precision.FLOAT32, Precision.BFLOAT16, Precision.FLOAT16):
        events.clear()
        settings = LatencySettings(batch_size=8, repeats=3, warm_up=2)
        assert latency_ms(network, arithmetic(DEVICE, precision), settings) > 0
        assert events == ["wait", "run", "wait"] * 5


def test_memory_of_introspectability_does_not_grow_with_the_samples() -> None:
    """At 1,024 and 4,096 samples (whole batches): only the samples' order, some bytes each, is more."""
    network, numbers = build(small_graph(side=16, width=32), 1).to(DEVICE).eval(), arithmetic(DEVICE, Precision.FLOAT32)
    network = network.to(memory_format=numbers.memory_format)
    _peak(network, small_data(DEVICE, samples=8, side=16, validation=1024))
    few, many = (_peak(network, small_data(DEVICE, samples=8, side=16, validation=count)) for count in (1024, 4096))
    assert few > 256 * 32 * 16 * 16 * 4, "not even one activation of one batch"
    assert abs(many - few) <= 128 * (4096 - 1024)


def _peak(network: GraphNetwork, data: DeviceData) -> int:
    """Return the bytes that scoring takes at most, besides network and data."""
    numbers = arithmetic(DEVICE, Precision.FLOAT32)
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    scores = score(network, data.validation, data, numbers, "convolutionsAndActivations")
    assert scores.distances.keys() == {"trueClass", "predictedClass"}
    return torch.cuda.max_memory_allocated() - before


def test_the_diagnosis_sees_what_the_cpu_sees() -> None:
    """Predictions, confidence and similarity to class means of single samples."""
    network = build(small_graph(), 1).eval()
    found = []
    for device in ("cpu", DEVICE):
        numbers = arithmetic(device, Precision.FLOAT32)
        moved, data = copy.deepcopy(network).to(device), small_data(device)
        subject = Subject(moved.to(memory_format=numbers.memory_format), data, numbers, "convolutionsAndActivations")
        found.append(gather(subject, data.validation, "trueClass"))
    cpu, there = found
    assert there.positions.tolist() == cpu.positions.tolist()
    assert there.predictions.tolist() == cpu.predictions.tolist()
    assert there.confidence == pytest.approx(cpu.confidence, rel=1e-3)
    assert there.similarity == pytest.approx(cpu.similarity, rel=1e-3, abs=1e-5)
