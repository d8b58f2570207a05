"""Structural schemas (as a CustomResourceDefinition wants them) from the pydantic models.

Left out or turned: `$ref` is written out; "or null" is left out, since a field may be absent; exclusive bounds are
flags beside the bound; free-form values keep unknown fields. What has no counterpart (the length of a map's keys) is
checked by `xnas validate` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from xnas_core.api.base import Model

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
_COPIED = (
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "minProperties", "maxProperties", "required",
)  # fmt: skip
_TIME_LENGTH = 64


def structural_schema(model: type[Model]) -> dict[str, Any]:
    """Return a model's structural schema: types, bounds, enums, defaults, descriptions."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}))


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        definition = definitions[node["$ref"].rpartition("/")[2]]
        return _convert({**definition, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if {choice.get("type") for choice in choices} == {"integer", "string"}:
            return {INT_OR_STRING: True}
        if len(choices) > 1:
            return {PRESERVE: True}
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _convert({**choices[0], **rest}, definitions)
    result: dict[str, Any] = {}
    if "description" in node:
        result["description"] = " ".join(str(node["description"]).split())
    result.update({key: node[key] for key in _COPIED if key in node})
    result.update({key: value for key, value in node.items() if key.startswith("x-kubernetes-")})
    _bounds(node, result)
    if "properties" in node:
        result["properties"] = {name: _convert(child, definitions) for name, child in node["properties"].items()}
    elif node.get("type") == "object":
        values = node.get("additionalProperties")
        result.update(
            {"additionalProperties": _convert(values, definitions)} if isinstance(values, dict) else {PRESERVE: True}
        )
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
    if node.get("default") is not None:
        result["default"] = _written_out(result) if "properties" in result else node["default"]
    return result


def _written_out(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of all fields as one value.

    `{}` would do for objects, since the API server fills in what is below. But it tries a node's CEL rules on the
    node's default as it stands, where a field that is not written out is an error.
    """
    return {name: deepcopy(child["default"]) for name, child in schema["properties"].items() if "default" in child}


def _bounds(node: Mapping[str, Any], result: dict[str, Any]) -> None:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            result[bound], result[exclusive] = node[exclusive], True
    if node.get("type") == "integer":
        result["format"] = "int64"
    if node.get("format") == "date-time":
        result["maxLength"] = _TIME_LENGTH
