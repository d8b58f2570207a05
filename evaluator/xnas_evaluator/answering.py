"""One question and one answer in JSON over standard input and output: how the core asks the evaluator's side."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from xnas_core.errors import InvalidInputError, XnasError


def answer(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Read a JSON object, print what `handle` makes of it; return the exit code.

    An XnasError becomes {"error", "reason"} and exit code 1. Libraries may print: standard output is standard error
    until the answer is there.
    """
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        document = json.load(sys.stdin)
        if not isinstance(document, dict):
            raise InvalidInputError("expected a JSON object")
        result = handle(document)
    except json.JSONDecodeError as error:
        result = {"error": f"standard input is not JSON: {error}", "reason": "InvalidInput"}
    except XnasError as error:
        result = {"error": str(error), "reason": error.reason}
    sys.stdout.flush()
    with os.fdopen(stdout, "w") as out:
        json.dump(result, out, allow_nan=False)
        out.write("\n")
    return 1 if "error" in result else 0
