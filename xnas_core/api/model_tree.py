"""Looking things up in the models by the resource's own (camelCase) names: fields, item types, defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from xnas_core.api.base import Model

DocumentPath = tuple[str | int, ...]
"""Keys and list indexes from the root of a document."""


def dotted(path: Sequence[str | int]) -> str:
    """Return ("spec", "objectives", 1, "name") as "spec.objectives[1].name"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def aliases(model: type[Model]) -> dict[str, FieldInfo]:
    """Return a model's fields by their camelCase names."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def bare(annotation: Any) -> Any:
    """Return a type without Annotated and without None."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return bare(rest[0]) if len(rest) == 1 else annotation
    return annotation


def as_model(annotation: Any) -> type[Model] | None:
    """Return the model that a type is, Annotated and None aside, or None."""
    kind = bare(annotation)
    return kind if isinstance(kind, type) and issubclass(kind, Model) else None


def item(annotation: Any) -> Any:
    """Return the item type of a list type, or None."""
    kind = bare(annotation)
    return get_args(kind)[0] if get_origin(kind) is list else None


def model_at(root: type[Model], path: Sequence[str | int]) -> type[Model] | None:
    """Return the model of the value at a path, or None where there is none."""
    here: Any = root
    for part in path:
        model = as_model(here)
        if isinstance(part, int):
            here = item(here)
        elif model is not None and part in aliases(model):
            here = aliases(model)[part].annotation
        else:
            return None
    return as_model(here)


def walk_fields(model: type[Model], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield (dotted path, field) of every field of a model and of all below it; list items have no index."""
    for alias, info in aliases(model).items():
        here = f"{path}.{alias}" if path else alias
        yield here, info
        below = as_model(info.annotation) or as_model(item(info.annotation))
        if below is not None:
            yield from walk_fields(below, here)


def default_document(info: FieldInfo) -> Any:
    """Return a field's default as the CRD states it ({} where a model's own defaults follow), or None."""
    if info.is_required() or info.default is None:
        return None
    if isinstance(info.default, Model):
        return {}
    if isinstance(info.default, list):
        return [getattr(value, "value", value) for value in info.default]
    if isinstance(info.default, dict):
        return dict(info.default)
    return getattr(info.default, "value", info.default)


def apply_defaults(document: Any, annotation: Any) -> Any:
    """Return a copy of a document with defaults filled in and nulls left out, as the API server does it.

    What does not fit the type is copied as it is, so that a wrong document can be looked at too.
    """
    model, element = as_model(annotation), item(annotation)
    if model is not None and isinstance(document, Mapping):
        filled = {key: value for key, value in document.items() if value is not None}
        for alias, info in aliases(model).items():
            default = default_document(info)
            if alias not in filled and default is not None:
                filled[alias] = default
            if alias in filled:
                filled[alias] = apply_defaults(filled[alias], info.annotation)
        return filled
    if element is not None and isinstance(document, list):
        return [apply_defaults(value, element) for value in document]
    return document
