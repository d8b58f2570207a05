"""Write the CRD into the chart and the reference page of the resource, both from xnas_core/api."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from xnas_core.api.base import Model
from xnas_core.api.change import is_mutable
from xnas_core.api.crd import custom_resource_definition
from xnas_core.api.declared import Parameter
from xnas_core.api.explainer_parameters import EXPLAINER_PARAMETERS
from xnas_core.api.metric_parameters import METRIC_PARAMETERS
from xnas_core.api.model_tree import aliases, as_model, bare, item
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.rules import RULES
from xnas_core.api.schema import structural_schema
from xnas_core.api.spec import MUTABLE_FIELDS
from xnas_core.objectives import METRICS

ROOT = Path(__file__).resolve().parent.parent

CRD = ROOT / "charts" / "xnas" / "crds" / "architecturesearches.xnas.dev.yaml"
REFERENCE = ROOT / "docs" / "reference" / "architecturesearch.md"

_HEADER = "# Generated from xnas_core/api by `make generate`; do not edit.\n"
_INTRODUCTION = """\
<!-- Generated from xnas_core/api by `make generate`; do not edit. -->
# ArchitectureSearch

`apiVersion: xnas.dev/v1alpha1`, `kind: ArchitectureSearch`. `xnas validate FILE` checks a file and
names every mistake with its line.

- Numbers are numbers: write `1000`, not `"1000"`. Times are in seconds.
- Only `true` and `false` are booleans; `yes`, `no`, `on` and `off` are texts. `1e-3` is a number.
- Relative paths start at the folder of the file.
- *Mutable* fields may change while a search runs; a change of any other is refused by name.
- *Required* fields have no default and must be given, wherever the part they belong to is given.
"""


def crd_text() -> str:
    """Return the CRD as YAML."""
    return _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120, allow_unicode=True)


def reference_text() -> str:
    """Return the reference page."""
    sections = [_INTRODUCTION]
    for path, model, schema in _models(ArchitectureSearch, structural_schema(ArchitectureSearch), ""):
        if path:
            sections.append(_section(path, model, schema))
    sections += [_metrics(), _explainers(), _rules()]
    return "\n".join(sections)


def _models(model: type[Model], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, type[Model], Any]]:
    yield path, model, schema
    for alias, info in aliases(model).items():
        child = schema["properties"][alias]
        here = f"{path}.{alias}" if path else alias
        below, of_items = as_model(info.annotation), as_model(item(info.annotation))
        if below is not None:
            yield from _models(below, child, here)
        elif of_items is not None:
            yield from _models(of_items, child["items"], f"{here}[]")


def _section(path: str, model: type[Model], schema: Mapping[str, Any]) -> str:
    lines = [f"## {path}", "", " ".join((model.__doc__ or "").split()), ""]
    mutability = path.split(".")[0] == "spec"
    lines.append("| field | type | default | bounds |" + (" mutable |" if mutability else "") + " meaning |")
    lines.append("|---|---|---|---|" + ("---|" if mutability else "") + "---|")
    for alias, info in aliases(model).items():
        child = schema["properties"][alias]
        cells = [f"`{alias}`", _type(info), _default(info, child), _bounds(child)]
        if mutability:
            cells.append(_mutable(f"{path}.{alias}".removeprefix("spec.")))
        meaning = " ".join((info.description or "").split()).replace("<", "&lt;")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in [*cells, meaning]) + " |")
    return "\n".join([*lines, ""])


def _mutable(field: str) -> str:
    if is_mutable(field):
        return "yes"
    return "in part" if any(path.startswith(f"{field}.") for path in MUTABLE_FIELDS) else "no"


def _type(info: FieldInfo) -> str:
    kind, element = bare(info.annotation), item(info.annotation)
    if element is not None:
        return f"list of {_word(bare(element))}"
    return _word(kind)


def _word(kind: Any) -> str:
    words = {bool: "boolean", int: "integer", float: "number", str: "text"}
    if kind in words:
        return words[kind]
    if isinstance(kind, type) and issubclass(kind, Model):
        return "map of fields"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of"
    name = str(kind)
    if {bare(part) for part in get_args(kind)} == {int, str}:
        return "integer or text"
    if name.startswith("dict"):
        return "map"
    return "time" if "datetime" in name else "text"


def _default(info: FieldInfo, schema: Mapping[str, Any]) -> str:
    if info.is_required():
        return "required"
    if "default" not in schema:
        return ""
    default = schema["default"]
    if "properties" in schema:
        return "its fields' defaults"
    text = yaml.safe_dump(default, default_flow_style=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _bounds(schema: Mapping[str, Any]) -> str:
    parts = []
    for low, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if low in schema:
            sign = {"minimum": "≥", "maximum": "≤"}[low]
            strict = {"minimum": ">", "maximum": "<"}[low]
            parts.append(f"{strict if schema.get(exclusive) else sign} {_number(schema[low])}")
    for name, unit in (("Length", "characters"), ("Items", "entries"), ("Properties", "entries")):
        if f"max{name}" in schema and schema.get("format") != "date-time":
            least = schema.get(f"min{name}", 0)
            parts.append(f"{least} to {schema[f'max{name}']:,} {unit}")
    for node in (schema, schema.get("items", {})):
        if "enum" in node:
            parts.append(", ".join(f"`{value}`" for value in node["enum"]))
    if "pattern" in schema:
        parts.append(f"`{schema['pattern']}`")
    return "; ".join(parts)


def _number(value: Any) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _metrics() -> str:
    lines = [
        "## Metrics",
        "",
        "Objectives, constraints and `metrics` name these, or those of a plug-in. "
        "[What each means](../explainability.md).",
        "",
    ]
    lines += ["| metric | better | unit | measured | meaning |", "|---|---|---|---|---|"]
    for metric in METRICS.values():
        known = "from the network alone, before training" if metric.static else "always"
        if metric.on_request:
            known = "where the search names it"
        lines.append(f"| `{metric.name}` | {metric.direction.value} | {metric.unit} | {known} | {metric.description} |")
    lines += ["", "Parameters, by metric; the others take none:", ""]
    lines += ["| metric | parameter | allowed | default | meaning |", "|---|---|---|---|---|"]
    lines += _parameters(METRIC_PARAMETERS)
    return "\n".join([*lines, ""])


def _explainers() -> str:
    lines = [
        "## Explainers",
        "",
        "`explanations.methods` and metrics that judge an explainer name these, or a plug-in, whose parameters "
        "are its own. [What each can tell](../explainers.md). Parameters, given in `explainers`:",
        "",
    ]
    lines += ["| explainer | parameter | allowed | default | meaning |", "|---|---|---|---|---|"]
    lines += _parameters(EXPLAINER_PARAMETERS)
    return "\n".join([*lines, ""])


def _parameters(declared: Mapping[str, Mapping[str, Parameter]]) -> Iterator[str]:
    for owner, parameters in declared.items():
        for name, about in parameters.items():
            default = f"`{about.default:g}`" if isinstance(about.default, float) else f"`{about.default}`"
            shown = default if about.default not in ("", (), None) else ""
            yield f"| `{owner}` | `{name}` | {about.allowed} | {shown} | {about.description} |"


def _rules() -> str:
    lines = ["## Rules", "", "Beyond types and bounds, the API server and `xnas validate` hold a search to these:", ""]
    lines += ["| where | rule |", "|---|---|"]
    lines += [f"| `{rule.path}` | {rule.message} |" for rule in RULES]
    return "\n".join([*lines, ""])


def crd() -> None:
    """Write the CRD."""
    CRD.parent.mkdir(parents=True, exist_ok=True)
    CRD.write_text(crd_text(), encoding="utf-8")


def reference() -> None:
    """Write the reference page."""
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    REFERENCE.write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    crd()
    reference()
