"""All explanations of one trained network: samples, each method, storage. One method's failure spares the others."""

from __future__ import annotations

import copy
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from xnas_core.api.base import ParameterValue
from xnas_core.artifacts.keys import SIDE_BY_SIDE
from xnas_core.artifacts.keys import explanation as explanation_name
from xnas_core.errors import XnasError
from xnas_core.tasks import Artifact, derived_seed
from xnas_evaluator.context import TaskContext
from xnas_evaluator.explain import stored
from xnas_evaluator.explain.base import Explanation, NotApplicableError
from xnas_evaluator.explain.budget import BUDGET_BYTES, images_at_once
from xnas_evaluator.explain.configured import configured
from xnas_evaluator.explain.samples import choose_samples
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.training.device_data import DeviceData

_log = logging.getLogger(__name__)
DELTA = "completeness_delta"


class NoExplanationError(XnasError):
    """Every method failed."""

    reason = "NoExplanation"


@dataclass
class Made:
    """What was made, in the terms of a TaskResult.

    Attributes:
        metrics: `completeness_delta`: mean absolute delta of integrated gradients, in units of the class score; of
            another method that has deltas: `completeness_delta_<method>`.
        timings: `explain_<method>_seconds`, storage of the tensors included; `pictures_seconds` for all pictures.
        failed: why, by method.
        not_applicable: why, by method.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    not_applicable: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return `explanations.failed` and `explanations.notApplicable`, as sentences, where there are any."""
        texts = {"explanations.failed": self.failed, "explanations.notApplicable": self.not_applicable}
        return {
            name: "; ".join(f"{method}: {why}" for method, why in reasons.items())[:4000]
            for name, reasons in texts.items()
            if reasons
        }


def make(
    context: TaskContext,
    network: GraphNetwork,
    data: DeviceData,
    methods: Sequence[str],
    samples_per_class: int,
    parameters: Mapping[str, Mapping[str, ParameterValue]],
) -> Made:
    """Explain seeded, class-balanced validation samples by each method and store the results.

    Args:
        context: the task.
        network: on the device, trained; it is put into eval mode.
        data: on the same device.
        methods: names of explainers.
        samples_per_class: see `choose_samples`.
        parameters: of the explainers that have any, by name.

    Raises:
        NoExplanationError: every method failed; one that is not applicable has not failed.
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    made = Made()
    methods = list(dict.fromkeys(methods))
    if not methods:
        return made
    _matplotlib_folder(context.cache)
    network.eval()
    samples = _samples(network, data, context.spec.seed, samples_per_class)
    explanations: dict[str, Explanation] = {}
    for done, method in enumerate(methods):
        context.progress(done, len(methods), f"explaining by {method}")
        started = time.perf_counter()
        explanation = _explain(method, parameters.get(method, {}), network, data, samples, context, made)
        if explanation is not None:
            explanations[method] = explanation
            _store(method, explanation, samples, context, made)
        made.timings[f"explain_{method}_seconds"] = time.perf_counter() - started
        if explanation is not None:
            _draw(explanation_name(method, ".png"), stored.picture, (method, explanation, samples), context, made)
    if len(explanations) > 1:
        _draw(SIDE_BY_SIDE, stored.comparison, (explanations, samples), context, made)
    if len(made.failed) == len(methods):
        raise NoExplanationError(f"every explanation failed: {made.environment()['explanations.failed'][:1000]}")
    return made


def _samples(network: GraphNetwork, data: DeviceData, seed: int, per_class: int) -> stored.Samples:
    positions = torch.from_numpy(choose_samples(data.validation.labels.cpu().numpy(), per_class, seed))
    chosen = positions.to(data.validation.labels.device)
    images = data.validation.images.index_select(0, chosen)
    at_once = images_at_once(network, images, BUDGET_BYTES)
    with torch.no_grad():
        batches = [network(data.normalise(part)) for part in torch.split(images, at_once)]
    probabilities, predictions = torch.cat(batches).float().softmax(1).max(1)
    return stored.Samples(
        images.cpu(),
        data.validation.labels.index_select(0, chosen).cpu(),
        predictions.cpu(),
        probabilities.cpu(),
        positions,
        data.class_names,
    )


def _explain(
    method: str,
    parameters: Mapping[str, ParameterValue],
    network: GraphNetwork,
    data: DeviceData,
    samples: stored.Samples,
    context: TaskContext,
    made: Made,
) -> Explanation | None:
    """Return the method's explanation, or note why there is none."""
    try:
        explainer = configured(method, parameters)
        device = data.mean.device
        # A copy for each: whatever a plug-in leaves on its network, the next method gets a clean one.
        explanation = explainer.explain(
            copy.deepcopy(network),
            data.normalise(samples.images.to(device)),
            samples.predictions.to(device),
            derived_seed(context.spec.seed, "explain", method),
        )
        return stored.check(explanation, samples)
    except NotApplicableError as error:
        made.not_applicable[method] = str(error)
    except torch.AcceleratorError:
        # The device is unusable for everything that follows; the worker has to see it (protocol.md §7).
        raise
    except Exception as error:  # noqa: BLE001  a plug-in may raise anything, and must not take the other methods with it
        _log.warning("explanation by %s failed", method, exc_info=True)
        made.failed[method] = f"{type(error).__name__}: {error}"[:600]
    return None


def _store(method: str, explanation: Explanation, samples: stored.Samples, context: TaskContext, made: Made) -> None:
    data = stored.tensors(method, explanation, samples)
    made.artifacts.append(context.put(explanation_name(method, ".safetensors"), data))
    if explanation.deltas is not None:
        name = DELTA if method == "integratedGradients" else f"{DELTA}_{method}"
        made.metrics[name] = float(explanation.deltas.abs().mean())


def _draw(name: str, picture: Callable[..., bytes], of: tuple[object, ...], context: TaskContext, made: Made) -> None:
    started = time.perf_counter()
    made.artifacts.append(context.put(name, picture(*of)))
    made.timings["pictures_seconds"] = made.timings.get("pictures_seconds", 0.0) + time.perf_counter() - started


def _matplotlib_folder(cache: Path) -> None:
    """Give matplotlib, which Captum imports, a folder to write to where it has none.

    Else it makes a temporary one and searches all fonts again in each process, which takes seconds.
    """
    if "MPLCONFIGDIR" in os.environ or "matplotlib" in sys.modules or os.access(Path.home(), os.W_OK):
        return
    folder = cache / "matplotlib"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MPLCONFIGDIR"] = str(folder)
