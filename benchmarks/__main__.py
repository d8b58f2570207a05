"""Run all benchmarks, or those named: `python -m benchmarks [NAME…]`."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "engine",
    "search_quality",
    "utilisation",
    "training",
    "introspectability",
    "measures",
    "explainers",
    "explanation_cost",
    "dispatch",
)


def main(arguments: list[str]) -> int:
    """Run each benchmark in a process of its own, so that none measures the other's memory or threads."""
    unknown = sorted(set(arguments) - set(NAMES))
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = []
    for name in arguments or NAMES:
        print(f"\n== {name} ==", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
