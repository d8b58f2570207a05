"""`python -m xnas_evaluator.worker`: started by the agent, never by hand."""

import sys

from xnas_evaluator.worker.main import arguments, main

if __name__ == "__main__":
    sys.exit(main(arguments(sys.argv[1:])))
