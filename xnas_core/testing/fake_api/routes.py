"""A request's path and query in the words of RBAC: which kind, object, subresource and verb."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xnas_core.testing.fake_api.answers import ApiError, JsonObject
from xnas_core.testing.fake_api.kinds import Kind

REVIEWS = {
    ("authentication.k8s.io", "tokenreviews"): "TokenReview",
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
    ("authorization.k8s.io", "subjectaccessreviews"): "SubjectAccessReview",
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
}
"""Kinds that are answered and never stored."""
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Target:
    """What a path names. `kind` is None for a review."""

    group: str
    version: str
    plural: str
    namespace: str
    name: str
    subresource: str
    kind: Kind | None

    def verb(self, method: str, query: Mapping[str, str]) -> str:
        """The verb of RBAC. ApiError 405."""
        if method == "GET":
            if query.get("watch") in ("true", "1"):
                return "watch"
            return "get" if self.name else "list"
        if method == "DELETE" and not self.name:
            return "deletecollection"
        if method not in _VERBS:
            raise ApiError(405, f"the server does not allow the method {method}")
        return _VERBS[method]


def parse(path: str, kinds: Iterable[Kind]) -> Target | None:
    """What the path names, or None where it is not below a group's version. ApiError 404 for an unknown resource."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    if (group, plural) in REVIEWS:
        return Target(group, version, plural, namespace, name, subresource, None)
    for kind in kinds:
        if (kind.group, kind.version, kind.plural) == (group, version, plural):
            known = ("", *(["status"] if kind.status else []), *kind.subresources)
            if subresource in known and len(rest) <= 3 and (kind.namespaced or not namespace):
                return Target(group, version, plural, namespace, name, subresource, kind)
    raise ApiError(404, "the server could not find the requested resource")


def discovery(path: str, kinds: Iterable[Kind]) -> JsonObject | None:
    """The answer to /version, /api, /apis and /apis/GROUP/VERSION; None for any other path."""
    parts = [part for part in path.split("/") if part]
    versions: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.version not in versions.setdefault(kind.group, []):
            versions[kind.group].append(kind.version)
    for group, _ in REVIEWS:
        versions.setdefault(group, ["v1"])
    if parts == ["version"]:
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0", "platform": "linux/amd64"}
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g, v) for g, v in versions.items() if g]}
    group, version = ("", parts[1]) if parts[:1] == ["api"] else (*parts[1:], "", "")[:2]
    if len(parts) not in (2, 3) or version not in versions.get(group, []):
        return None
    resources = [
        entry for kind in kinds if (kind.group, kind.version) == (group, version) for entry in kind.discovery()
    ]
    for (owner, plural), kind_name in REVIEWS.items():
        if owner == group:
            resources.append({"name": plural, "singularName": "", "namespaced": False, "kind": kind_name})
            resources[-1]["verbs"] = ["create"]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _group(name: str, versions: list[str]) -> JsonObject:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}
