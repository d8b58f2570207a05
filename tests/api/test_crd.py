"""The CRD: structural, bounded, current, and of one mind with the models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tools import generate_crd
from xnas_core.api.base import Model
from xnas_core.api.crd import custom_resource_definition
from xnas_core.api.model_tree import aliases, apply_defaults, as_model, default_document, item, walk_fields
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.rules import RULES, transition_rules
from xnas_core.api.schema import INT_OR_STRING, PRESERVE
from xnas_core.api.spec import MUTABLE_FIELDS, ArchitectureSearchSpec

FORBIDDEN = {
    "$ref", "anyOf", "oneOf", "allOf", "not", "definitions", "$defs", "const", "title", "propertyNames",
    "patternProperties", "dependencies", "deprecated", "discriminator", "readOnly", "writeOnly", "xml", "id",
}  # fmt: skip
KNOWN = {
    "description", "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minProperties", "maxProperties", "required",
    "properties", "additionalProperties", "items", "default",
}  # fmt: skip


def _version() -> Any:
    return custom_resource_definition()["spec"]["versions"][0]


def _root() -> dict[str, Any]:
    root: dict[str, Any] = _version()["schema"]["openAPIV3Schema"]
    return root


def _nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _nodes(schema["additionalProperties"], f"{path}{{}}")


def _faults(schema: dict[str, Any]) -> list[str]:
    """Return what breaks Kubernetes' structural rules or our rule that everything has a bound."""
    faults = []
    for path, node in _nodes(schema):
        free = node.get(PRESERVE) is True or node.get(INT_OR_STRING) is True
        faults += [f"{path}: {word} is forbidden" for word in FORBIDDEN & node.keys()]
        unknown = {key for key in node if not key.startswith("x-kubernetes-")} - KNOWN - FORBIDDEN
        faults += [f"{path}: {word} is unknown" for word in unknown]
        kind = node.get("type")
        if kind is None and not free:
            faults.append(f"{path}: no type")
        if kind == "string" and not ("maxLength" in node or "enum" in node):
            faults.append(f"{path}: no maxLength")
        if kind == "array" and not ("maxItems" in node and "items" in node):
            faults.append(f"{path}: no maxItems or items")
        if kind == "object" and path not in ("metadata", ""):
            if "properties" not in node and "maxProperties" not in node:
                faults.append(f"{path}: no maxProperties")
            if "properties" in node and "additionalProperties" in node:
                faults.append(f"{path}: properties and additionalProperties exclude each other")
        if not set(node.get("required", ())) <= set(node.get("properties", {})):
            faults.append(f"{path}: requires what it does not have")
    return faults


def test_the_schema_is_structural_and_bounded() -> None:
    assert _faults(_root()) == []


def test_the_check_itself_finds_faults() -> None:
    bad = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"$ref": "x"},
            "c": {"type": "array", "items": {"type": "integer"}},
            "d": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
    }
    assert len(_faults(bad)) == 5


def test_every_field_of_the_models_is_there_and_described() -> None:
    root = _root()
    for path, _ in walk_fields(ArchitectureSearch):
        if path.startswith("metadata."):
            continue
        node = root
        for part in path.split("."):
            node = node.get("items", node)["properties"][part]
        assert node.get("description") or path == "metadata", path


def _defaults(model: type[Model], schema: dict[str, Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    for alias, info in aliases(model).items():
        node = schema["properties"][alias]
        below, of_items = as_model(info.annotation), as_model(item(info.annotation))
        yield f"{path}.{alias}", apply_defaults(default_document(info), info.annotation), node.get("default")
        if below is not None:
            yield from _defaults(below, node, f"{path}.{alias}")
        elif of_items is not None:
            yield from _defaults(of_items, node["items"], f"{path}.{alias}")


def test_defaults_are_those_of_the_models() -> None:
    rows = list(_defaults(ArchitectureSearchSpec, _root()["properties"]["spec"], "spec"))
    assert len(rows) > 60
    for path, ours, theirs in rows:
        assert ours == theirs, path


def test_a_default_of_fields_means_that_all_below_have_defaults() -> None:
    for path, node in _nodes(_root()):
        if "default" in node and "properties" in node:
            assert "required" not in node, path


def test_defaults_keep_the_rules_that_the_api_server_tries_on_them() -> None:
    schemas = dict(_nodes(_root()))
    tried = [rule for rule in RULES if "default" in schemas[rule.path]]
    assert len(tried) > 5
    for rule in tried:
        assert rule.holds(schemas[rule.path]["default"]), rule.message


def test_rules_stand_where_they_belong_with_messages_of_one_line() -> None:
    attached = {
        (path, rule["rule"]): rule
        for path, node in _nodes(_root())
        for rule in node.get("x-kubernetes-validations", ())
    }
    assert len(attached) == len(RULES) + len(transition_rules())
    for rule in RULES:
        assert attached[rule.path, rule.cel]["message"] == rule.message
    for rule in attached.values():
        assert "\n" not in rule["message"]
        assert len(rule["message"]) < 200


def test_cel_names_only_fields_that_exist() -> None:
    schemas = dict(_nodes(_root()))
    for path, node in schemas.items():
        for rule in node.get("x-kubernetes-validations", ()):
            for dotted in re.findall(r"\b(?:self|oldSelf)((?:\.[a-zA-Z]+)+)(?!\w|\()", rule["rule"]):
                here = node
                for part in dotted.strip(".").split("."):
                    if "properties" not in here:
                        break  # a method, such as size()
                    assert part in here["properties"], (path, rule["rule"])
                    here = here["properties"][part]
            if "fieldPath" in rule:
                here = node
                for part in rule["fieldPath"].strip(".").split("."):
                    here = here["properties"][part]


def test_every_field_but_the_mutable_ones_is_protected() -> None:
    protected = {f"{rule.path}.{rule.field}".removeprefix("spec.") for rule in transition_rules()}
    for path, _ in walk_fields(ArchitectureSearchSpec):
        covered = any(path == field or path.startswith(f"{field}.") for field in protected)
        mutable = any(path == field or path.startswith(f"{field}.") for field in MUTABLE_FIELDS)
        split = any(field.startswith(f"{path}.") for field in MUTABLE_FIELDS)
        assert covered != (mutable or split), path


def test_printer_columns_read_fields_that_exist() -> None:
    schemas = dict(_nodes(_root()))
    columns = _version()["additionalPrinterColumns"]
    assert [column["name"] for column in columns[:3]] == ["State", "Evaluations", "Front"]
    for column in columns:
        # A filter picks an item of a list by one of its fields.
        path = re.sub(r'\[\?\(@\.type=="[A-Za-z]+"\)\]', "[]", column["jsonPath"]).removeprefix(".")
        assert path in schemas or path == "metadata.creationTimestamp"
    assert _version()["subresources"]["status"] == {}
    for path in _version()["subresources"]["scale"].values():
        assert path.removeprefix(".") in schemas


@pytest.mark.parametrize(
    ("path", "text"),
    [(generate_crd.CRD, generate_crd.crd_text()), (generate_crd.REFERENCE, generate_crd.reference_text())],
    ids=["crd", "reference"],
)
def test_generated_files_are_current(path: Any, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make generate`"


def test_the_crd_file_is_one_document_without_aliases() -> None:
    text = generate_crd.CRD.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == custom_resource_definition()
    assert not re.search(r"^\s*[\w-]+: [&*]id\d", text, re.MULTILINE)


def test_the_reference_names_every_field_and_rule() -> None:
    text = generate_crd.reference_text()
    for path, _ in walk_fields(ArchitectureSearch):
        if "." not in path:
            continue  # has a section, or is in the introduction
        assert f"`{path.rpartition('.')[2]}`" in text, path
    for rule in RULES:
        assert rule.message in text
