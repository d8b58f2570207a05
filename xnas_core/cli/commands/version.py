"""`xnas version`."""

from __future__ import annotations

import typer

from xnas_core.cli.options import AsJson
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas version --json"""

_PACKAGES = ("torch", "captum", "pymoo", "numpy", "grpcio", "pydantic")


def version(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the versions of xnas and of what results depend on."""
    import platform
    from importlib import metadata

    from xnas_core import __version__

    session = begin(context, as_json=as_json)
    versions: dict[str, str | None] = {"xnas": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    if session.json:
        session.answer({"versions": versions})
        return
    for name, found in versions.items():
        print(f"{name:10}{found or 'not installed'}")
