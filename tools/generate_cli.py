"""Write docs/cli.md from the commands' own help."""

from __future__ import annotations

from pathlib import Path

from xnas_core.cli.reference import reference

ROOT = Path(__file__).resolve().parent.parent


def cli() -> None:
    """Write docs/cli.md."""
    (ROOT / "docs" / "cli.md").write_text(reference(), encoding="utf-8")
