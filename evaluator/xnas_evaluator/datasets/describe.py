"""`python -m xnas_evaluator.datasets.describe`: shape, classes and sizes of a data set, as JSON, without torch.

Reads {"dataset": DatasetSpec document, "seed": n} from standard input. Prints {"channels", "height", "width",
"classes", "classNames", "train", "validation", "test", "testHeldOut", "digest"}; on a mistake of the user
{"error", "reason"} with exit code 1. `xnas run` and `xnas plan` call it, so that the data are checked and cached
before a worker starts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError, XnasError
from xnas_evaluator.datasets.cache import default_cache
from xnas_evaluator.datasets.load import load


def describe(document: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Return what the module's docstring says.

    Raises:
        XnasError: the data are absent, corrupt or unfit.
    """
    try:
        spec = DatasetSpec.model_validate_json(json.dumps(document["dataset"]))
        seed = int(document.get("seed", 0))
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"not a data set description: {error}") from error
    data = load(spec, seed, cache)
    shape = data.shape
    return {
        "channels": shape.channels,
        "height": shape.height,
        "width": shape.width,
        "classes": shape.classes,
        "classNames": list(data.class_names),
        "train": len(data.train),
        "validation": len(data.validation),
        "test": len(data.test),
        "testHeldOut": data.test_held_out,
        "digest": data.digest,
    }


def main() -> int:
    """Answer one request on standard input."""
    try:
        document = json.load(sys.stdin)
        if not isinstance(document, dict):
            raise InvalidInputError("expected a JSON object with the field dataset")
        answer = describe(document, default_cache())
    except json.JSONDecodeError as error:
        answer = {"error": f"standard input is not JSON: {error}", "reason": "InvalidInput"}
    except XnasError as error:
        answer = {"error": str(error), "reason": error.reason}
    print(json.dumps(answer))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
