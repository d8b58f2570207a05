"""`python -m xnas_evaluator.export_cli`: `export_model` as a process that speaks JSON, for `xnas export`.

Reads {"folder", "candidate", "destination", "formats": ["torch", "onnx"]} from standard input; in place of the folder
there may be {"service": {"address", "token", "caFile", "serverName", "namespace", "name"}} for a search on a cluster.
Prints {"candidate", "samples", "files": [{"format", "path", "size", "sha256", "maxAbsDifference"}]}; on an error
{"error", "reason"} with exit code 1. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_evaluator.answering import answer
from xnas_evaluator.sources import SearchSource


def export(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the module's docstring says; raise what `export_model` does."""
    from xnas_evaluator.export import export_model

    try:
        service = document.get("service")
        place: AbstractContextManager[SearchSource | str] = (
            _place(service) if service is not None else _folder(str(document["folder"]))
        )
        candidate, destination = str(document["candidate"]), str(document["destination"])
        formats = [str(name) for name in document["formats"]]
    except (KeyError, TypeError) as error:
        raise InvalidInputError(f"not an export request: {error} is missing or wrong") from error
    with place as source:
        report = export_model(source, candidate, destination, formats)
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


@contextmanager
def _folder(path: str) -> Iterator[str]:
    yield path


@contextmanager
def _service(
    address: str, token: str, ca_file: str | None, server_name: str | None, namespace: str, name: str
) -> Iterator[SearchSource]:
    from xnas_core.client import SearchClient

    with SearchClient(address, token=token, ca_file=ca_file, server_name=server_name) as client:
        yield client.search(namespace, name)


def _place(service: Mapping[str, Any]) -> AbstractContextManager[SearchSource]:
    """Return the search on a cluster. The token came by a pipe, and goes nowhere else."""
    return _service(
        str(service["address"]),
        str(service["token"]),
        service["caFile"],
        service["serverName"],
        str(service["namespace"]),
        str(service["name"]),
    )


if __name__ == "__main__":
    sys.exit(answer(export))
