"""What a resource asks for: its spec as a model, whether it may run, and what has changed since it was accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xnas_core.api import ArchitectureSearchSpec, changed_fields, resolve_paths
from xnas_core.api.change import with_mutable
from xnas_core.api.model_tree import dotted
from xnas_core.api.problems import Severity
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.validate import check_document
from xnas_core.errors import InvalidInputError
from xnas_core.search.problem import parse_spec
from xnas_operator.kube.resources import JsonObject
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.job import pod_template

DATA_FOLDER = Path("/data")
"""What relative paths of a spec start from: where evaluator pods mount the data set's volume."""


class RefusedError(InvalidInputError):
    """The search cannot run as it is written."""

    reason = "InvalidSpec"


@dataclass(frozen=True)
class Change:
    """How the spec differs from the accepted one.

    Attributes:
        document: the accepted spec with what may change and did; None if nothing of that did.
        refused: fields that differ and may not change.
    """

    document: dict[str, Any] | None
    refused: tuple[str, ...] = ()


class SpecReader:
    """Reads one resource's spec, once for each generation.

    Args:
        defaults: of evaluator pods, as they are now.
        may_read: whether searches of a namespace may read data at an s3:// URI.
    """

    def __init__(self, defaults: Callable[[], EvaluatorDefaults], may_read: Callable[[str, str], bool]) -> None:
        self._defaults = defaults
        self._may_read = may_read
        self._read: tuple[int | None, ArchitectureSearch | None, str] = (None, None, "")

    def look(self, body: JsonObject) -> tuple[ArchitectureSearch | None, str]:
        """Return the resource as a model, or None and its mistakes."""
        generation = body["metadata"].get("generation")
        if self._read[0] != generation or generation is None:
            self._read = (generation, *_check(body, body.get("spec")))
        return self._read[1], self._read[2]

    def going_on(self, body: JsonObject, accepted: Mapping[str, Any] | None) -> ArchitectureSearch | None:
        """Return the resource that its search goes on with: with the accepted spec while its own is not valid."""
        search, _ = self.look(body)
        return search if search is not None or accepted is None else _check(body, accepted)[0]

    def spec(self, body: JsonObject) -> ArchitectureSearchSpec | None:
        """Return the spec; None while it is not valid."""
        search, _ = self.look(body)
        return None if search is None else search.spec

    def checked(self, body: JsonObject) -> ArchitectureSearchSpec:
        """Return the spec, paths resolved.

        Raises:
            RefusedError: it cannot run; every mistake is named.
        """
        search, mistakes = self.look(body)
        if search is None:
            raise RefusedError(mistakes or "the spec is not valid")
        try:
            pod_template(search, self._defaults())
        except InvalidInputError as error:
            raise RefusedError(str(error)) from error
        namespace = body["metadata"]["namespace"]
        source = search.spec.dataset.source if search.spec.dataset is not None else None
        for place in filter(None, (source.npz, source.idx, source.image_folder) if source is not None else ()):
            if place.startswith("s3://") and not self._may_read(namespace, place):
                raise RefusedError(
                    f"spec.dataset.source: searches of namespace {namespace} may not read {place}; "
                    "ask the administrator to map the namespace to its prefix (dataPrefixes)"
                )
        return resolve_paths(search.spec, DATA_FOLDER)

    def change(self, body: JsonObject, accepted: Mapping[str, Any]) -> Change | None:
        """Return how the spec differs from the accepted document; None while it has not even a spec's shape.

        Where something in it is wrong that may not change anyway, what may change still does.
        """
        spec = valid = self.spec(body)
        try:
            spec = spec or parse_spec(body.get("spec") or {})
        except ValidationError:
            return None
        new = resolve_paths(spec, DATA_FOLDER).to_document()
        mutable, immutable = changed_fields(dict(accepted), new)
        document = with_mutable(dict(accepted), new) if mutable else None
        if document is not None and valid is None and _check(body, document)[0] is None:
            document = None
        return Change(document, tuple(immutable))


def _check(body: JsonObject, spec: Any) -> tuple[ArchitectureSearch | None, str]:
    """Return the resource with this spec as a model, or None and its mistakes."""
    document = {**{key: body.get(key) for key in ("apiVersion", "kind", "metadata")}, "spec": spec}
    search, findings = check_document(document, DATA_FOLDER, here=False)
    wrong = [finding for finding in findings if finding.severity is Severity.ERROR]
    return search, "; ".join(f"{dotted(f.path)}: {f.message}" for f in wrong)
