"""`python -m xnas_evaluator.export_cli`: `export_model` as a process that speaks JSON, for `xnas export`.

Reads {"folder", "candidate", "destination", "formats": ["torch", "onnx"]} from standard input. Prints {"candidate",
"samples", "files": [{"format", "path", "size", "sha256", "maxAbsDifference"}]}; on an error {"error", "reason"} with
exit code 1. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import sys
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_evaluator.answering import answer


def export(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the module's docstring says; raise what `export_model` does."""
    from xnas_evaluator.export import export_model

    try:
        folder, candidate = str(document["folder"]), str(document["candidate"])
        destination, formats = str(document["destination"]), [str(name) for name in document["formats"]]
    except (KeyError, TypeError) as error:
        raise InvalidInputError(f"not an export request: {error} is missing or wrong") from error
    report = export_model(folder, candidate, destination, formats)
    return {
        "candidate": report.candidate_id,
        "samples": report.samples,
        "files": [
            {
                "format": file.format,
                "path": str(file.path),
                "size": file.size,
                "sha256": file.sha256,
                "maxAbsDifference": file.max_abs_difference,
            }
            for file in report.files
        ],
    }


if __name__ == "__main__":
    sys.exit(answer(export))
