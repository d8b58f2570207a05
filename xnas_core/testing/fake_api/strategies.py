"""What the API server does to an object of a kind before it is stored: defaults, and what may not change."""

from __future__ import annotations

import base64
import copy
import re
from typing import Any

from xnas_core.testing.fake_api.answers import JsonObject, invalid
from xnas_core.testing.fake_api.kinds import JOBS, NAMESPACES, PODS, SECRETS, Kind

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_JOB_DEFAULTS = {"parallelism": 1, "completionMode": "NonIndexed", "backoffLimit": 6, "suspend": False}
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")
"""Fields of a suspended Job's pod template that may change (Kueue sets them)."""


def check_name(kind: Kind, name: str) -> None:
    """ApiError 422 unless the name is a DNS subdomain name (a label for namespaces), of 253 characters at most."""
    longest = 63 if kind == NAMESPACES else 253
    if not _NAME.match(name) or len(name) > longest:
        raise invalid(kind.qualified, name, f"metadata.name: Invalid value: {name!r}: not a lowercase RFC 1123 name")
    if kind == JOBS and len(name) > 63:
        raise invalid(kind.qualified, name, "metadata.name: must be no more than 63 characters")


def check_labels(kind: Kind, item: JsonObject) -> None:
    """ApiError 422 for a label value that is longer than 63 characters or not text."""
    for key, value in (item["metadata"].get("labels") or {}).items():
        if not isinstance(value, str) or len(value) > 63:
            raise invalid(kind.qualified, item["metadata"]["name"], f"metadata.labels: Invalid value for {key}")


def defaulted(kind: Kind, item: JsonObject) -> JsonObject:
    """The object with this kind's defaults, on creation and on change."""
    if kind == SECRETS and "stringData" in item:
        plain = {key: base64.b64encode(text.encode()).decode() for key, text in item["stringData"].items()}
        item = {key: value for key, value in item.items() if key != "stringData"}
        item["data"] = (item.get("data") or {}) | plain
    if kind == SECRETS:
        item = {"type": "Opaque"} | item
    return item


def created(kind: Kind, item: JsonObject) -> JsonObject:
    """The new object as stored; its uid is set already."""
    name, uid = item["metadata"]["name"], item["metadata"]["uid"]
    if kind == NAMESPACES:
        labels = {"kubernetes.io/metadata.name": name} | (item["metadata"].get("labels") or {})
        return item | {"metadata": item["metadata"] | {"labels": labels}, "status": {"phase": "Active"}}
    if kind == PODS:
        return item | {"status": {"phase": "Pending"}}
    if kind == JOBS:
        return item | {"status": {}, "spec": _job_spec(name, uid, item.get("spec") or {})}
    return item


def _job_spec(name: str, uid: str, spec: JsonObject) -> JsonObject:
    if "template" not in spec:
        raise invalid("jobs.batch", name, "spec.template: Required value")
    added = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name}
    template: JsonObject = copy.deepcopy(spec["template"])
    if (template.get("spec") or {}).get("restartPolicy") not in ("Never", "OnFailure"):
        raise invalid("jobs.batch", name, "spec.template.spec.restartPolicy: Required value: valid: OnFailure, Never")
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = (metadata.get("labels") or {}) | added
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    return _JOB_DEFAULTS | spec | {"template": template, "selector": selector}


def check_change(kind: Kind, before: JsonObject, after: JsonObject) -> None:
    """ApiError 422 for a change that this kind forbids."""
    if kind in (SECRETS,) and before.get("immutable") and before.get("data") != after.get("data"):
        raise invalid(kind.qualified, before["metadata"]["name"], "data: Forbidden: field is immutable")
    if kind == JOBS:
        _check_job(before["metadata"]["name"], before["spec"], after.get("spec") or {})


def _check_job(name: str, before: JsonObject, after: JsonObject) -> None:
    for field in ("selector", "completionMode", "podFailurePolicy"):
        if before.get(field) != after.get(field):
            raise invalid("jobs.batch", name, f"spec.{field}: Invalid value: field is immutable")
    if before.get("completions") != after.get("completions"):
        indexed = after.get("completionMode") == "Indexed"
        if not indexed or after.get("completions") != after.get("parallelism"):
            raise invalid("jobs.batch", name, "spec.completions: Invalid value: field is immutable")
    movable = bool(before.get("suspend"))
    if _template(before, movable) != _template(after, movable):
        raise invalid("jobs.batch", name, "spec.template: Invalid value: field is immutable")


def _template(spec: JsonObject, movable: bool) -> Any:
    template = copy.deepcopy(spec.get("template") or {})
    if movable:
        for field in _SCHEDULING:
            template.get("spec", {}).pop(field, None)
        template.get("metadata", {}).pop("labels", None)
        template.get("metadata", {}).pop("annotations", None)
    return template
