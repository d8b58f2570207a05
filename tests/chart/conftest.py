"""The chart and helm."""

from __future__ import annotations

import pytest

from tests.chart.rendering import Chart, find_helm


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart(find_helm(), tmp_path_factory.mktemp("chart"))
