"""docs/plugins/dataset.md: its example is installed, loaded by name, split and described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import DataShape
from xnas_core.testing.docs_example import load_example
from xnas_evaluator.datasets.load import load

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "dataset.md"


def test_the_example_is_found_by_name_and_split(tmp_path: Path) -> None:
    with load_example(PAGE, "xnas.datasets", "textures"):
        first, again = (load(DatasetSpec(name="textures"), 0, tmp_path) for _ in range(2))
    assert first.shape == DataShape(1, 16, 16, 3)
    assert first.class_names == ("checkerboard", "stripes", "noise")
    assert first.digest == again.digest
    assert list((tmp_path / "datasets").glob("textures-*.safetensors"))
    assert set(np.bincount(first.test.labels)) == {80}


def test_its_errors_reach_the_user(tmp_path: Path) -> None:
    with (
        load_example(PAGE, "xnas.datasets", "textures"),
        pytest.raises(InvalidInputError, match=r"remove dataset\.path"),
    ):
        load(DatasetSpec(name="textures", path="/data"), 0, tmp_path)


def test_the_description_for_the_command_line_knows_it(tmp_path: Path) -> None:
    with load_example(PAGE, "xnas.datasets", "textures") as example:
        path = os.pathsep.join((str(example.folder), *(entry for entry in sys.path if entry)))
        process = subprocess.run(
            [sys.executable, "-m", "xnas_evaluator.datasets.describe"],
            input='{"dataset": {"name": "textures"}}',
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": path, "XNAS_CACHE": str(tmp_path)},
        )
    assert json.loads(process.stdout)["classNames"] == ["checkerboard", "stripes", "noise"]
