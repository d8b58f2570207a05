"""Makes the plug-in example of a documentation page importable and registered, exactly as the page says.

The page holds, in fenced blocks,
- `python`: the module; its first line is a comment with the file's path (`# plain_conv.py`, `# my_package/spaces.py`).
  Several such blocks are several files; Python blocks without that line are illustrations and left alone.
- `toml`: the `[project.entry-points."<group>"]` table of the plug-in's pyproject.toml.

So a test over the page proves both the code and the lines that register it.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_core.plugins import PluginKind, load

_BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ((?:[A-Za-z_]\w*/)*[A-Za-z_]\w*\.py)\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoadedExample:
    """A page's plug-in, registered as long as `load_example`'s block lasts.

    Attributes:
        plugin: what the entry point names.
        folder: where the plug-in lies, as if installed; a child process finds it there with PYTHONPATH.
    """

    plugin: Any
    folder: Path


@contextmanager
def load_example(page: Path, entry_point_group: str, name: str) -> Iterator[LoadedExample]:
    """Install the page's example in a temporary folder on sys.path and load it by its name, as a search would.

    Args:
        page: the Markdown file.
        entry_point_group: "xnas.spaces", "xnas.datasets", "xnas.objectives" or "xnas.explainers".
        name: name of the entry point.

    Raises:
        InvalidInputError: the page has no module or no entry point of that group and name.
        UnknownNameError: the entry point is not found once it is registered.
    """
    files, entry_points = _read(page)
    if not files or name not in entry_points.get(entry_point_group, {}):
        raise InvalidInputError(f"{page} has no example module or no entry point {entry_point_group} {name!r}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _install(folder, files, entry_points)
        modules = {path.removesuffix(".py").replace("/", ".") for path in files}
        modules |= {module.rsplit(".", depth)[0] for module in modules for depth in range(1, module.count(".") + 1)}
        before = {module: sys.modules.pop(module) for module in modules if module in sys.modules}
        sys.path.insert(0, temporary)
        importlib.invalidate_caches()
        try:
            yield LoadedExample(load(PluginKind(entry_point_group), name), folder)
        finally:
            sys.path.remove(temporary)
            for module in modules:
                sys.modules.pop(module, None)
            sys.modules.update(before)
            importlib.invalidate_caches()


def _read(page: Path) -> tuple[dict[str, str], Mapping[str, Mapping[str, str]]]:
    """Return the page's files by path, and its entry points by group and name."""
    files: dict[str, str] = {}
    entry_points: dict[str, dict[str, str]] = {}
    for language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        path = _FILE.match(text)
        if language == "python" and path:
            files[path.group(1)] = text
        elif language == "toml":
            for group, lines in tomllib.loads(text).get("project", {}).get("entry-points", {}).items():
                entry_points.setdefault(group, {}).update(lines)
    return files, entry_points


def _install(folder: Path, files: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write what an installer would: the modules, and a dist-info folder that registers the entry points."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    information = folder / "xnas_documentation_example-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: xnas-documentation-example\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items()), ""]
    (information / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
