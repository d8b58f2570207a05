"""The example of docs/plugins/space.md works as printed: registered by its own lines, and passing the contract."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from xnas_core import plugins
from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.plugins import PluginKind
from xnas_core.spaces.base import DataShape, Genes, SearchSpace
from xnas_core.spaces.survey import survey
from xnas_core.testing.docs_example import load_example
from xnas_core.testing.space_contract import SpaceContract

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "space.md"


class TestDocumentedSpace(SpaceContract):
    parameters = {"blocks": 4}
    wrong_parameters: ClassVar[Mapping[str, Any]] = {"blocks": 0, "widths": "wide"}

    @pytest.fixture
    def space_class(self) -> Iterator[type[SearchSpace]]:
        with load_example(PAGE, "xnas.spaces", "plain-conv") as example:
            yield example.plugin

    def test_the_page_s_figures(self, space: SearchSpace) -> None:
        """4 blocks of 3 widths: chains of 0 to 4 widths are 1 + 3 + 9 + 27 + 81 networks."""
        assert survey(space, seed=1).networks == 121


def test_the_example_is_registered_only_inside_the_block() -> None:
    before = list(sys.path)
    with load_example(PAGE, "xnas.spaces", "plain-conv") as example:
        assert "plain-conv" in plugins.names(PluginKind.SPACE)
        assert any(entry.name == "plain-conv" for entry in importlib.metadata.entry_points(group="xnas.spaces"))
        assert (example.folder / "plain_conv.py").exists()
        assert plugins.load(PluginKind.SPACE, "plain-conv") is example.plugin
    assert sys.path == before
    assert "plain_conv" not in sys.modules
    assert not example.folder.exists()
    with pytest.raises(UnknownNameError):
        plugins.load(PluginKind.SPACE, "plain-conv")


def test_the_page_s_own_test_passes() -> None:
    with load_example(PAGE, "xnas.spaces", "plain-conv") as example:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plain_conv.py"],
            cwd=example.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(example.folder), str(PAGE.parents[2])])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_modules_in_packages_and_several_groups(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# some_package/inner/space.py\nfrom some_package.constants import VALUE\n```\n"
        "```python\n# some_package/constants.py\nVALUE = 5\n```\n"
        "```python\nraise AssertionError('an illustration is not run')\n```\n"
        '```toml\n[project.entry-points."xnas.spaces"]\nfive = "some_package.inner.space:VALUE"\n\n'
        '[project.entry-points."xnas.objectives"]\nalso = "some_package.constants:VALUE"\n```\n'
    )
    for group, name in (("xnas.spaces", "five"), ("xnas.objectives", "also")):
        with load_example(page, group, name) as example:
            assert example.plugin == 5
    assert not [module for module in sys.modules if module.startswith("some_package")]


def test_a_page_without_example_is_named(tmp_path: Path) -> None:
    page = tmp_path / "empty.md"
    page.write_text("nothing\n")
    with pytest.raises(InvalidInputError, match=r"empty\.md has no example"), load_example(page, "xnas.spaces", "x"):
        pass


def test_the_contract_finds_a_space_that_names_one_network_twice() -> None:
    """The suite can fail: with the encoding as identity, absent blocks make one network many."""
    with load_example(PAGE, "xnas.spaces", "plain-conv") as example:
        space = example.plugin({"blocks": 4}, DataShape(3, 16, 16, 10))
        contract = SpaceContract()
        samples: list[Genes] = [(0, width, 0, 0, 1, 0, 1, 2) for width in range(3)]
        contract.test_one_identity_is_one_graph(space, samples)
        space.identity = space.encoding
        with pytest.raises(AssertionError):
            contract.test_one_identity_is_one_graph(space, samples)
