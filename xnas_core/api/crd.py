"""The CustomResourceDefinition of ArchitectureSearch, from the models and the rules."""

from __future__ import annotations

from typing import Any

from xnas_core.api.base import GROUP, KIND, PLURAL, SHORT_NAME, VERSION
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.rules import RULES, transition_rules
from xnas_core.api.schema import structural_schema

_COLUMNS = (
    # name, type, JSON path, description, priority (1: only with -o wide)
    ("State", "string", ".status.state", "One word for the search", 0),
    ("Evaluations", "string", ".status.evaluations.progress", "Candidates scored or failed for good / limit", 0),
    ("Front", "integer", ".status.frontSize", "Size of the Pareto front", 0),
    ("Hypervolume", "number", ".status.hypervolume", "Hypervolume of the front", 0),
    ("Evaluators", "integer", ".status.evaluators.ready", "Evaluators connected", 0),
    ("Age", "date", ".metadata.creationTimestamp", "Time since it was created", 0),
    ("Space", "string", ".spec.searchSpace.name", "Search space", 1),
    ("Dataset", "string", ".spec.dataset.name", "Data set", 1),
    ("Generation", "integer", ".status.generation", "Newest generation", 1),
    ("Running", "integer", ".status.evaluations.running", "Candidates being evaluated", 1),
    ("Failed", "integer", ".status.evaluations.failed", "Candidates failed for good", 1),
    ("Desired", "integer", ".status.evaluators.desired", "Evaluators asked for", 1),
    ("Why", "string", '.status.conditions[?(@.type=="Progressing")].reason', "Why it runs or does not", 1),
    ("Artifacts", "string", ".status.artifactsUri", "Where the artifacts lie", 1),
)


def custom_resource_definition() -> dict[str, Any]:
    """Return the CRD as a document."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.evaluators.replicas",
                            "statusReplicasPath": ".status.evaluators.ready",
                        },
                    },
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, description: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


def _schema() -> dict[str, Any]:
    schema = structural_schema(ArchitectureSearch)
    properties = schema["properties"]
    for name in ("apiVersion", "kind"):
        properties[name] = {"type": "string", "maxLength": 63, "description": properties[name]["description"]}
    # Of the metadata a CRD may only say what names are allowed; the API server knows the rest.
    name = properties["metadata"]["properties"]["name"]
    properties["metadata"] = {"type": "object", "properties": {"name": name}}
    schema["required"] = ["spec"]
    for rule in RULES:
        _attach(schema, rule.path, rule.cel, rule.message, rule.field, "FieldValueInvalid")
    for rule_ in transition_rules():
        _attach(schema, rule_.path, rule_.cel, rule_.message, rule_.field, "FieldValueForbidden")
    return schema


def _attach(schema: dict[str, Any], path: str, cel: str, message: str, field: str, reason: str) -> None:
    node = schema
    for part in path.split("."):
        node = node["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            node = node["items"]
    rule = {"rule": cel, "message": message, "reason": reason}
    if field:
        rule["fieldPath"] = f".{field}"
    node.setdefault("x-kubernetes-validations", []).append(rule)
