"""What the operator's settings say about evaluators, as the manifests need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EvaluatorDefaults:
    """Defaults of evaluator pods.

    Attributes:
        address: HOST:PORT of the gRPC port, as seen from pods.
        image: of the evaluator container.
        image_pull_policy: Always, IfNotPresent or Never.
        image_pull_secrets: names of Secrets in the search's namespace.
        drain_seconds: how long a running candidate may take to finish when its pod is asked to go.
        template: pod template fields (metadata, spec), merged over ours and under those of the search.
        ca_pem: certificate authorities that the gRPC port's certificate is checked against, PEM.
        store_ca_pem: the same of the store's certificate; "": those that the evaluator's image trusts.
    """

    address: str
    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    drain_seconds: int = 30
    template: Mapping[str, Any] = field(default_factory=dict)
    ca_pem: str = ""
    store_ca_pem: str = ""
