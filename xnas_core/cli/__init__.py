"""The command line: `xnas`. Commands import what they need when they run, so that `xnas --help` is quick."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, name: str = "xnas") -> int:
    """Run one command and return its exit code (`exit_codes`). Entry point of the package."""
    from xnas_core.cli.app import app

    code = app(args=arguments, prog_name=name, standalone_mode=False)
    return code if isinstance(code, int) else 0


def kubectl(arguments: Sequence[str] | None = None) -> int:
    """Be the plug-in `kubectl xnas`: the same commands, under that name."""
    return main(arguments, "kubectl xnas")
