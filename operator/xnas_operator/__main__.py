"""`python -m xnas_operator --config FILE`: run the operator."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xnas_core.errors import XnasError
from xnas_operator.app import Operator
from xnas_operator.lease import LeadershipLostError
from xnas_operator.logging_setup import configure
from xnas_operator.settings import load

EXIT_CANNOT_START = 1
EXIT_LEADERSHIP_LOST = 3


def main(argv: Sequence[str]) -> int:
    """Run until asked to end. Kubernetes starts the process again after any other end."""
    parser = argparse.ArgumentParser(prog="xnas_operator", description="Run architecture searches on a cluster.")
    parser.add_argument("--config", type=Path, default=Path("/etc/xnas/config.yaml"), help="settings, YAML")
    parser.add_argument("--kubeconfig", type=Path, help="outside a cluster: the kubeconfig to use")
    options = parser.parse_args(argv)
    try:
        settings = load(options.config, os.environ)
        configure(settings.log_level)
        asyncio.run(Operator(settings, options.kubeconfig).run())
    except LeadershipLostError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_LEADERSHIP_LOST
    except XnasError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
