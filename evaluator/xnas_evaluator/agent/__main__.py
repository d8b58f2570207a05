"""`python -m xnas_evaluator.agent --connect ADDRESS`."""

import os
import sys

# We start processes with exec only; gRPC's own fork handlers would just write warnings.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from xnas_evaluator.agent.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
