"""The built-in spaces pass the contract of spaces, at several shapes and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from xnas_core.spaces.base import DataShape, SearchSpace
from xnas_core.spaces.mobile import Mobile
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_core.testing.space_contract import SpaceContract

DIGITS = DataShape(channels=1, height=8, width=8, classes=10)
ODD = DataShape(channels=3, height=7, width=12, classes=3)
LARGE = DataShape(channels=3, height=96, width=64, classes=120)


class TestNasBench201(SpaceContract):
    parameters = {"cellsPerStage": 1, "channels": 8}
    wrong_parameters: ClassVar[Mapping[str, Any]] = {"cellsPerStage": 21, "channels": "16", "prune": 1}

    @pytest.fixture
    def space_class(self) -> type[SearchSpace]:
        return NasBench201


class TestNasBench201Digits(TestNasBench201):
    shape = DIGITS


class TestNasBench201OddSides(TestNasBench201):
    parameters = {"cellsPerStage": 2, "channels": 4}
    shape = ODD


class TestNasBench201Encoding(TestNasBench201):
    parameters = {"cellsPerStage": 1, "channels": 8, "prune": False}
    shape = DIGITS


class TestMobile(SpaceContract):
    wrong_parameters: ClassVar[Mapping[str, Any]] = {
        "stages": 1,
        "stemChannels": 2.5,
        "depths": [],
        "widths": [0],
        "kernels": [3, 4],
        "expansions": [2, 2],
        "prune": "yes",
    }

    @pytest.fixture
    def space_class(self) -> type[SearchSpace]:
        return Mobile


class TestMobileDigits(TestMobile):
    """Stages of depth 0, kernels wider than the image, stages that cannot halve any more: genes without effect."""

    parameters = {"stages": 5, "depths": [0, 1, 2], "widths": [8, 16], "kernels": [3, 11], "stemChannels": 8}
    shape = DIGITS


class TestMobileOddSides(TestMobile):
    parameters = {"stages": 2, "expansions": [1, 4]}
    shape = ODD


class TestMobileLarge(TestMobile):
    parameters = {"stages": 4}
    shape = LARGE


class TestMobileEncoding(TestMobile):
    parameters = {"stages": 3, "depths": [0, 1], "kernels": [3, 11], "prune": False}
    shape = DIGITS
    networks_are_named_once = False
