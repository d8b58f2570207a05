"""Kubernetes Events at the turning points of a search, for `kubectl describe` and `kubectl get events`."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from xnas_core.api.base import API_VERSION, KIND
from xnas_operator.kube.client import KubeClient
from xnas_operator.kube.errors import AlreadyExistsError, KubeError
from xnas_operator.kube.resources import EVENTS
from xnas_operator.manifests.names import FIELD_MANAGER, Owner
from xnas_operator.text import cut

_log = structlog.get_logger(__name__)

EventType = Literal["Normal", "Warning"]
_MESSAGE_BYTES = 1000  # the API server takes 1,024


def event(owner: Owner, kind: EventType, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """Return the Event document. The same word in the same second has the same name: a repetition changes nothing."""
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"{owner.uid}/{reason}/{message}/{stamp}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{owner.name[:40].rstrip('-')}.{digest}", "namespace": owner.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
        "type": kind,
        "reason": reason,
        "message": cut(message, _MESSAGE_BYTES),
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


async def tell(kube: KubeClient, owner: Owner, kind: EventType, reason: str, message: str) -> None:
    """Post an Event. Nothing depends on it, so a refusal is only logged."""
    try:
        await kube.create(EVENTS, owner.namespace, event(owner, kind, reason, message, datetime.now(UTC)))
    except AlreadyExistsError:
        pass
    except KubeError as error:
        _log.warning("an Event could not be posted", reason=reason, error=str(error))
