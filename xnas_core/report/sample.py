"""`python -m xnas_core.report.sample OUT.html`: the report of a made-up search, to look at the page without a run."""

from __future__ import annotations

import sys
from pathlib import Path

from xnas_core.report.html import write_report
from xnas_core.testing.sample_search import sample_search


def main(arguments: list[str]) -> int:
    """Write the report of a sample search; return the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m xnas_core.report.sample OUT.html\n")
        return 2
    sample = sample_search()
    write_report(sample.view, sample.read, Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
