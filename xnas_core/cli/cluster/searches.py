"""Searches as resources of the cluster. The caller's own rights decide: no operator is asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from xnas_core.api.base import API_VERSION, PLURAL
from xnas_core.cli.cluster.kube import JsonObject, Kube, path_of
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.service.errors import NotFoundError

_ROOT = f"/apis/{API_VERSION}"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check_name(text: str, what: str) -> str:
    """Return a name that Kubernetes allows; raise InvalidInputError."""
    if not _NAME.fullmatch(text):
        raise InvalidInputError(
            f"{text!r} can't be the name of a {what}: those have at most 63 small letters, digits and '-'"
        )
    return text


class Searches:
    """The searches that an API server has."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube

    def list(self, namespace: str | None) -> list[JsonObject]:
        """Return the searches of a namespace (None: of all), by namespace and name."""
        found = self.kube.items(_collection(namespace))
        return sorted(found, key=lambda item: (item["metadata"].get("namespace", ""), item["metadata"]["name"]))

    def get(self, namespace: str, name: str) -> JsonObject:
        """Return a search with its status.

        Raises:
            NotFoundError: there is none of that name; the sentence names one that is nearly so called.
        """
        try:
            return self.kube.get(_path(namespace, name))
        except NotFoundError as error:
            raise self._absent(namespace, name, error) from error

    def create(self, namespace: str, manifest: Mapping[str, Any], *, dry_run: bool = False) -> JsonObject:
        """Make a search; return it as stored."""
        return self.kube.post(_collection(namespace), dict(manifest), {"dryRun": "All"} if dry_run else None)

    def change(self, namespace: str, name: str, spec: Mapping[str, Any]) -> JsonObject:
        """Apply a merge patch to the spec; return the search as stored."""
        try:
            return self.kube.patch(_path(namespace, name), {"spec": dict(spec)})
        except NotFoundError as error:
            raise self._absent(namespace, name, error) from error

    def delete(self, namespace: str, name: str, uid: str) -> None:
        """Delete this very search.

        Raises:
            ChangedMeanwhileError: the search of that name is another one now.
        """
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        self.kube.delete(_path(namespace, name), body | {"propagationPolicy": "Background"})

    def _absent(self, namespace: str, name: str, error: NotFoundError) -> XnasError:
        if "is not installed" in str(error):
            return error
        try:
            listed = self.list(namespace)
        except XnasError:
            listed = []
        names = [item["metadata"]["name"] for item in listed]
        near = difflib.get_close_matches(name, names, 1, 0.6)
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif names:
            hint = f"there are {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        else:
            hint = self._elsewhere(name) or "`xnas list -A` lists those of all namespaces"
        return NotFoundError(f"there is no search {name!r} in namespace {namespace!r}; {hint}")

    def _elsewhere(self, name: str) -> str:
        try:
            everywhere = [item["metadata"] for item in self.list(None)]
        except XnasError:  # most may not list all namespaces
            return ""
        places = [str(metadata.get("namespace", "")) for metadata in everywhere if metadata["name"] == name]
        return f"there is one in {places[0]}: -n {places[0]}" if places else ""


def _collection(namespace: str | None) -> str:
    return path_of(_ROOT, PLURAL) if namespace is None else path_of(_ROOT, "namespaces", namespace, PLURAL)


def _path(namespace: str, name: str) -> str:
    return path_of(_collection(namespace), name)
