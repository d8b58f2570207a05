"""What no template may change, because identity, trust or the end of a pod depend on it.

This keeps authors from breaking their own search by mistake. It is no wall between tenants: whoever writes a template
chooses the image. What an evaluator may do follows from its token, pod and Job, which the API server vouches for.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, NoReturn

from xnas_core.errors import InvalidInputError
from xnas_operator.manifests.names import CONTAINER, MANAGED_BY_LABEL, NAME_LABEL
from xnas_operator.manifests.pod import CA_FOLDER, CA_VOLUME, DATA_FOLDER, DATA_VOLUME, TOKEN_FOLDER, TOKEN_VOLUME

_RESERVED_LABELS = ("batch.kubernetes.io/", "kueue.x-k8s.io/", "xnas.dev/")
_RESERVED_PLAIN = frozenset({"controller-uid", "job-name", NAME_LABEL, MANAGED_BY_LABEL})
_PROTECTED_ENV = frozenset({"POD_NAME", "XNAS_TOKEN"})


def check_template(template: Mapping[str, Any], where: str) -> None:
    """Refuse what is no part of a pod template, before it is merged.

    Raises:
        InvalidInputError: the message names the field.
    """
    for key in template:
        if key not in ("metadata", "spec"):
            raise InvalidInputError(f"{where}.{key}: a pod template has metadata and spec; put it below one of them")
    metadata = template.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"{where}.metadata: must be a map of labels and annotations")
    for key, value in metadata.items():
        if key not in ("labels", "annotations") and value is not None:
            raise InvalidInputError(f"{where}.metadata.{key}: only labels and annotations can be set; remove it")
    names = metadata.get("labels")
    for key in names if isinstance(names, Mapping) else ():
        if str(key).startswith(_RESERVED_LABELS) or key in _RESERVED_PLAIN:
            hint = "; the queue is spec.evaluators.queueName" if str(key).startswith("kueue.") else ""
            raise InvalidInputError(f"{where}.metadata.labels.{key}: this label is not yours to set; remove it{hint}")


def check_unchanged(base: Mapping[str, Any], merged: Mapping[str, Any], where: str) -> None:
    """Refuse a merged template in which something of ours is not as it was.

    Args:
        base: our template.
        merged: ours with other templates over it.
        where: path of the last template, for messages.

    Raises:
        InvalidInputError: the message names the field.
    """
    kept = (merged.get("metadata") or {}).get("labels") or {}
    if any(kept.get(key) != value for key, value in base["metadata"]["labels"].items()):
        _refuse(f"{where}.metadata.labels", "labels of ours would go; only add labels")
    place = f"{where}.spec"
    ours, theirs = base["spec"], merged.get("spec") or {}
    if theirs.get("restartPolicy") != ours["restartPolicy"]:
        _refuse(f"{place}.restartPolicy", "an evaluator that ends is replaced by a new pod, so it must be Never")
    least = ours["terminationGracePeriodSeconds"]
    grace = theirs.get("terminationGracePeriodSeconds")
    if not isinstance(grace, int) or grace < least:
        _refuse(f"{place}.terminationGracePeriodSeconds", f"draining takes up to {least} s; do not set less")
    for name in (TOKEN_VOLUME, CA_VOLUME, DATA_VOLUME):
        mine = _named(ours["volumes"], "name", name)
        if mine is not None and _named(theirs.get("volumes"), "name", name) != mine:
            _refuse(f"{place}.volumes[name={name}]", "this volume is ours; give yours another name")
    _check_container(ours["containers"][0], _named(theirs.get("containers"), "name", CONTAINER), f"{place}.containers")


def _check_container(ours: Mapping[str, Any], theirs: Any, where: str) -> None:
    place = f"{where}[name={CONTAINER}]"
    if theirs is None:
        _refuse(place, "the evaluator's container must stay")
    for name in ("command", "args"):
        if theirs.get(name) != ours[name]:
            _refuse(f"{place}.{name}", "how the evaluator is started is not yours to set; remove it")
    for name in sorted(_PROTECTED_ENV):
        if _named(theirs.get("env"), "name", name) != _named(ours["env"], "name", name):
            _refuse(f"{place}.env[name={name}]", "this variable says who the evaluator is; remove it")
    # The data set's volume only where the search has one: elsewhere /data is free.
    folders = {TOKEN_FOLDER, CA_FOLDER, DATA_FOLDER} & {mount["mountPath"] for mount in ours["volumeMounts"]}
    for folder in sorted(folders):
        if _named(theirs.get("volumeMounts"), "mountPath", folder) != _named(ours["volumeMounts"], "mountPath", folder):
            _refuse(f"{place}.volumeMounts[mountPath={folder}]", "this folder is ours; mount elsewhere")
    for mount in theirs.get("volumeMounts") or ():
        path = str(mount["mountPath"])
        if path not in folders and _covers(path, folders):
            _refuse(f"{place}.volumeMounts[mountPath={path}]", "it would cover a folder of ours; mount elsewhere")


def _covers(path: str, folders: set[str]) -> bool:
    plain = posixpath.normpath("/" + path.strip().lstrip("/"))
    return any(plain == folder or plain.startswith(f"{folder}/") for folder in folders)


def _named(items: Any, key: str, name: str) -> Any:
    return next((item for item in items or () if item.get(key) == name), None)


def _refuse(field: str, why: str) -> NoReturn:
    raise InvalidInputError(f"{field}: {why}")
