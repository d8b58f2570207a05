"""The task `evaluate`: train a candidate and measure every metric on the validation split (protocol.md §3)."""

from __future__ import annotations

import platform

import torch

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph
from xnas_core.tasks import TaskResult
from xnas_evaluator import checkpoints
from xnas_evaluator.context import TaskContext
from xnas_evaluator.networks.build import GraphNetwork, build
from xnas_evaluator.objectives.measure import measure, plan
from xnas_evaluator.resident import search_data
from xnas_evaluator.timings import Timings
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.resumable import fingerprint_of, train
from xnas_evaluator.training.settings import Arithmetic, arithmetic, prepare


def evaluate(context: TaskContext) -> TaskResult:
    """Train and score one candidate; go on from an earlier attempt's state where there is a whole one.

    Raises:
        InvalidInputError: the network, the data or an objective is not valid (final).
        NonFiniteError: a loss or class score is NaN or infinite (final).
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    timings = Timings()
    assignment, spec = context.assignment, context.spec
    if assignment.graph is None or spec.dataset is None:
        raise InvalidInputError("a candidate can be trained only with a network and a data set; the search has none")
    prepare(context.device, context.threads)
    numbers = arithmetic(context.device, spec.training.precision)
    measured = plan(spec)
    with timings.part("data_seconds"):
        data = search_data(context)
    with timings.part("build_seconds"):
        graph = Graph.from_document(assignment.graph)
        network = check_fit(build(graph, assignment.seed), data)
        trainer = Trainer(network, data, spec.training, assignment.seed, numbers)
    fingerprint = fingerprint_of(context, graph.digest, data, spec.training, assignment.seed)
    artifact, resumed = train(context, trainer, fingerprint, timings)
    with timings.part("metrics_seconds"):
        context.progress(trainer.epoch, spec.training.epochs, "measuring")
        result = measure(context, measured, network, data, numbers, trainer.seconds)
    timings.seconds |= {f"measure_{name}_seconds": seconds for name, seconds in result.seconds.items()}
    with timings.part("checkpoint_seconds"):
        stored = checkpoints.write(context, network, data, result.metrics, trainer.epoch)
    return assignment.result(
        result.metrics,
        errors=result.errors,
        timings=timings.seconds,
        artifacts=(*((artifact,) if artifact else ()), *stored),
        environment=environment(context, numbers),
        resumed_from_epoch=resumed,
    )


def check_fit(network: GraphNetwork, data: DeviceData) -> GraphNetwork:
    """Return the network if it takes the data's images and gives a score a class.

    Raises:
        InvalidInputError: it does not.
    """
    shape = data.shape
    images, classes = (shape.channels, shape.height, shape.width), (shape.classes,)
    graph = network.graph
    output = graph.shapes[graph.nodes[-1].name]
    if graph.input_shape != images or output != classes:
        raise InvalidInputError(
            f"the network maps {graph.input_shape} to {output}, data set {data.name!r} has images of {images} "
            f"and {shape.classes} classes; the data changed since the search started"
        )
    return network


def environment(context: TaskContext, numbers: Arithmetic) -> dict[str, str]:
    """Return what the task runs on, for reports."""
    cuda = numbers.device.type == "cuda"
    return {
        "device": context.device,
        "device_name": torch.cuda.get_device_name(numbers.device) if cuda else platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
        "precision": str(numbers.dtype).removeprefix("torch."),
    }
