"""`python -m xnas_evaluator.datasets.describe`: shape, classes and sizes of a data set, as JSON, without torch.

Reads {"dataset": DatasetSpec document, "seed": n} from standard input. Prints {"channels", "height", "width",
"classes", "classNames", "train", "validation", "test", "testHeldOut", "digest"}; on a mistake of the user
{"error", "reason", "bytesHere"} with exit code 1. For a data set in a store, the document has a presigned "url" to read
it with and, where the store's certificates are not the system's, "storeCaFile"; "bytesHere" then says how much has
come. In benchmark mode the document has {"benchmark": BenchmarkSpec document, "objectives": [...]} instead, and the
answer is {"ranges": {column: [min, max]}, "digest": SHA-256 of the file}.
`xnas run` and `xnas plan` call it, so that the data are checked and cached before a worker starts; an evaluator on a
cluster, when it is asked for a description.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xnas_core.api.spec import DatasetSpec
from xnas_core.artifacts.download import partial_path
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.search.acceptance import describe_table
from xnas_evaluator.datasets.cache import default_cache
from xnas_evaluator.datasets.copies import copy_path, remote_address
from xnas_evaluator.datasets.load import load


def describe(document: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Return what the module's docstring says.

    Raises:
        XnasError: the data are absent, corrupt or unfit.
    """
    if document.get("benchmark") is not None:
        return _describe_table(document)
    try:
        spec = DatasetSpec.model_validate_json(json.dumps(document["dataset"]))
        seed = int(document.get("seed", 0))
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"not a data set description: {error}") from error
    uri = remote_address(spec)
    if uri is not None and document.get("url"):
        _fetch(uri, cache, str(document["url"]), document.get("storeCaFile"))
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


def _fetch(uri: str, cache: Path, url: str, ca_file: str | None) -> None:
    # Here, since a data set on this machine needs no web client.
    from xnas_core.artifacts.transport import Transport
    from xnas_evaluator.datasets.fetch import fetch

    fetch(uri, cache, Transport(ca_file=ca_file), lambda: url, alive=lambda _: None, sleep=time.sleep)


def _bytes_here(document: Any, cache: Path) -> int:
    """Return how much of a data set in a store lies in the cache folder."""
    with contextlib.suppress(ValidationError, KeyError, TypeError, AttributeError, OSError):
        uri = remote_address(DatasetSpec.model_validate_json(json.dumps(document["dataset"])))
        return 0 if uri is None else partial_path(copy_path(cache, uri)).stat().st_size
    return 0


def _describe_table(document: dict[str, Any]) -> dict[str, Any]:
    try:
        table = Path(document["benchmark"]["table"])
        columns = [str(o.get("metric") or o["name"]) for o in document["objectives"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"not a description of a benchmark: {error}") from error
    found = describe_table(table, columns)
    return {"ranges": {name: list(pair) for name, pair in found.ranges.items()}, "digest": found.digest}


def main() -> int:
    """Answer one request on standard input."""
    document: Any = None
    try:
        document = json.load(sys.stdin)
        if not isinstance(document, dict):
            raise InvalidInputError("expected a JSON object with the field dataset")
        answer = describe(document, default_cache())
    except json.JSONDecodeError as error:
        answer = {"error": f"standard input is not JSON: {error}", "reason": "InvalidInput"}
    except XnasError as error:
        answer = {"error": str(error), "reason": error.reason}
    if "error" in answer:
        answer["bytesHere"] = _bytes_here(document, default_cache())
    print(json.dumps(answer))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
