"""The survey of a space names its extremes."""

from __future__ import annotations

from typing import Any

import pytest

from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import DataShape, Genes
from xnas_core.spaces.mobile import Mobile
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_core.spaces.survey import survey

CIFAR10 = DataShape(3, 32, 32, 10)


class _Disconnected(NasBench201):
    def connected(self, genes: Genes) -> bool:
        return len(genes) == 0


def test_a_small_space_is_surveyed_in_full() -> None:
    found = survey(NasBench201({}, CIFAR10), seed=1)
    assert (found.size, found.looked_at, found.exhaustive) == (15_625, 15_625, True)
    assert found.networks == 5_260 - 1  # without the disconnected one
    assert (found.smallest.parameters, found.smallest.macs) == (73_306, 7_783_050)
    assert found.largest.encoding == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    assert found.parameters_range == (73_306, found.largest.parameters)
    assert found.smallest.macs < found.median.macs < found.largest.macs
    assert 0.9 < found.connected_share < 1
    assert found.distinct_share < 0.4


@pytest.mark.parametrize("parameters", [{}, {"stages": 5}, {"kernels": [3]}])
def test_a_large_space_is_sampled_and_its_extremes_are_found(parameters: dict[str, Any]) -> None:
    space = Mobile(parameters, CIFAR10)
    found = survey(space, seed=1, samples=200)
    assert (found.looked_at, found.exhaustive, found.networks) == (200, False, None)
    least, most = (space.static_metrics(genes).macs for genes in _corners(space))
    assert (found.smallest.macs, found.largest.macs) == (least, most)
    assert space.decode(found.median.encoding) == found.median.genes
    assert found.smallest.macs < found.median.macs < found.largest.macs


def _corners(space: Mobile) -> tuple[Genes, Genes]:
    """In this space each gene's lists are ascending and each step up costs more."""
    return (0,) * len(space.cardinalities), tuple(c - 1 for c in space.cardinalities)


def test_the_sample_follows_from_the_seed() -> None:
    space = Mobile({}, CIFAR10)
    assert survey(space, 3, 50) == survey(space, 3, 50)
    assert survey(space, 3, 50).median != survey(space, 4, 50).median


def test_a_space_without_connected_networks_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="none of 15625 encodings of nas-bench-201 is connected"):
        survey(_Disconnected({}, CIFAR10), seed=1)
    with pytest.raises(InvalidInputError, match="at least 1 sample"):
        survey(Mobile({}, CIFAR10), seed=1, samples=0)
