"""Values: each is documented with its default, known to the schema, and refused with a sentence when wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, STORE, Chart, merged

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


def schema_of(path: str) -> dict[str, Any]:
    """Return the part of the schema that checks a value."""
    here = SCHEMA
    for part in path.split("."):
        here = here["properties"][part]
        if "$ref" in here:
            here = SCHEMA["definitions"][here["$ref"].rpartition("/")[2]]
    return here


def leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, default) of all values that have no values of the chart below them."""
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        free = isinstance(value, dict) and ("properties" not in schema_of(here) or here.endswith("resources"))
        if isinstance(value, dict) and value and not free:
            yield from leaves(value, here)
        else:
            yield here, value


def schema_leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in schema.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        if "properties" in value and here != "evaluator.template":
            yield from schema_leaves(value, here)
        else:
            yield here


def test_the_readme_lists_every_value_with_its_default() -> None:
    text = (CHART / "README.md").read_text().partition("## Values")[2]
    rows = re.findall(r"^\| `([A-Za-z.]+)` \| `([^`]*)` \| \S.* \|$", text, re.MULTILINE)
    assert {name: json.loads(default) for name, default in rows} == dict(leaves(VALUES))
    assert [name for name, _ in rows] == list(dict.fromkeys(name for name, _ in rows))


def test_the_schema_knows_exactly_the_values() -> None:
    assert set(schema_leaves(SCHEMA)) - {"global"} == {name for name, _ in leaves(VALUES)}


def test_the_schema_is_closed() -> None:
    def check(schema: dict[str, Any], path: str) -> None:
        if "properties" in schema:
            assert schema.get("additionalProperties") is False, path
            for key, value in schema["properties"].items():
                check(value, f"{path}.{key}")

    check(SCHEMA, "")
    for name, definition in SCHEMA["definitions"].items():
        check(definition, name)


def test_each_value_of_a_wrong_type_is_refused(chart: Chart) -> None:
    names = [name for name, _ in leaves(VALUES)]
    values: dict[str, Any] = {}
    for name in names:
        wrong: Any = ["unexpected"] if schema_of(name).get("type") == "object" else {"unexpected": [1]}
        for part in reversed(name.split(".")):
            wrong = {part: wrong}
        values = merged(values, wrong)
    refusal = chart.refusal(values)
    assert [name for name in names if f"at '/{name.replace('.', '/')}" not in refusal] == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replica": 2}, "'replica' not allowed"),
        ({"store": {"endpont": "x"}}, "'endpont' not allowed"),
        ({"store": {"endpoint": "10.0.0.1:9000"}}, "/store/endpoint"),
        ({"store": {"prefix": "team"}}, "/store/prefix"),
        ({"replicas": "2"}, "/replicas"),
        ({"replicas": 11}, "/replicas"),
        ({"grpc": {"port": 443}}, "/grpc/port"),
        ({"tls": {"source": "acme"}}, "/tls/source"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"namespaces": ["Team_A"]}, "/namespaces/0"),
        ({"evaluator": {"template": {"kind": "Pod"}}}, "'kind' not allowed"),
        ({"dataPrefixes": {"team-a": ["s3://data/sets"]}}, "/dataPrefixes/team-a/0"),
        ({"dataPrefixes": {"Team_A": []}}, "invalid propertyName 'Team_A'"),
        ({"resources": {"limit": {}}}, "'limit' not allowed"),
        ({"podLabels": {"a": 1}}, "/podLabels/a"),
        ({"image": {"tag": "a b"}}, "/image/tag"),
        ({"image": {"tag": "@sha256:" + 64 * "0"}}, "/image/tag"),
    ],
)
def test_wrong_values_are_refused_by_name(chart: Chart, values: dict[str, Any], words: str) -> None:
    assert words in chart.refusal(merged(STORE, values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "set store.endpoint to an S3 server such as http://HOST:PORT, or minio.enabled=true"),
        ({"store": {"endpoint": "http://a:1"}}, "set store.existingSecret to a Secret"),
        (merged(STORE, {"store": {"secretKey": ""}}), "set store.existingSecret to a Secret"),
        ({"minio": {"enabled": True}, "store": {"accessKey": "a"}}, "store.accessKey and store.secretKey belong"),
        (merged(STORE, {"store": {"existingSecret": "mine"}}), "store.existingSecret and store.accessKey"),
        (merged(STORE, {"minio": {"enabled": True}}), "store.endpoint and minio.enabled=true exclude"),
        (merged(STORE, {"tls": {"source": "certManager"}}), "set tls.certManager.issuerRef.name"),
        (merged(STORE, {"tls": {"validDays": 30}}), "tls.rotateBeforeDays must be less than tls.validDays"),
        (merged(STORE, {"leaderElection": {"renewSeconds": 8}}), "leaderElection.renewSeconds must be at most half"),
        (merged(STORE, {"grpc": {"port": 8080}}), "grpc.port and http.port must differ"),
        (merged(STORE, {"dataPrefixes": {"a": ["s3://xnas/b/"]}}), "data is never read from store.bucket"),
    ],
)
def test_values_that_do_not_go_together_are_refused_with_a_sentence(
    chart: Chart, values: dict[str, Any], words: str
) -> None:
    assert words in chart.refusal(values)
