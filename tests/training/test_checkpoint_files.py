"""Checkpoints: the same network comes back, and anything altered is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST
from xnas_core.errors import IntegrityError
from xnas_core.tasks import TaskKind
from xnas_evaluator import checkpoints
from xnas_evaluator.networks.build import build
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_data, small_graph, small_spec


def _stored(root: Path) -> tuple[bytes, bytes, torch.Tensor]:
    network = build(small_graph(), 3).to(memory_format=torch.channels_last)
    network(torch.randn(16, 1, 8, 8))
    context = FolderContext(assignment(), small_spec(), root)
    checkpoints.write(context, network, small_data(), {"accuracy": 0.5}, 2)
    manifest = context.get(TaskKind.EVALUATE, 1, CHECKPOINT_MANIFEST)
    weights = context.get(TaskKind.EVALUATE, 1, CHECKPOINT)
    assert manifest is not None
    assert weights is not None
    with torch.inference_mode():
        return manifest, weights, network.eval()(torch.ones(2, 1, 8, 8))


def test_the_same_network_comes_back(tmp_path: Path) -> None:
    manifest, weights, expected = _stored(tmp_path)
    checkpoint = checkpoints.read(manifest, weights)
    with torch.inference_mode():
        torch.testing.assert_close(checkpoint.network(torch.ones(2, 1, 8, 8)), expected, rtol=1e-5, atol=1e-6)
    assert checkpoint.manifest["metrics"] == {"accuracy": 0.5}
    assert len(checkpoint.mean) == len(checkpoint.std) == 1


def _edit(field: str, value: object) -> Callable[[bytes], bytes]:
    return lambda manifest: json.dumps({**json.loads(manifest), field: value}).encode()


@pytest.mark.parametrize(
    ("edit_manifest", "edit_weights", "message"),
    [
        (lambda m: m[:50], lambda w: w, "torn"),
        (_edit("format", "other/9"), lambda w: w, "format 'other/9'"),
        (_edit("graph", {"nodes": []}), lambda w: w, "torn or not"),
        (_edit("graph", small_graph(width=8).to_document()), lambda w: w, "graph"),
        (lambda m: m, lambda w: w[:-1], "digest"),
        (lambda m: m, lambda w: w[:-1] + bytes([w[-1] ^ 1]), "digest"),
    ],
)
def test_what_was_altered_is_refused(
    edit_manifest: Callable[[bytes], bytes], edit_weights: Callable[[bytes], bytes], message: str, tmp_path: Path
) -> None:
    manifest, weights, _ = _stored(tmp_path)
    with pytest.raises(IntegrityError, match=message):
        checkpoints.read(edit_manifest(manifest), edit_weights(weights))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    manifest, weights, _ = _stored(tmp_path)
    document = json.loads(manifest)
    other = small_graph(width=8)
    document |= {"graph": other.to_document(), "graphSha256": other.digest}
    with pytest.raises(IntegrityError, match="does not fit the network"):
        checkpoints.read(json.dumps(document).encode(), weights)
