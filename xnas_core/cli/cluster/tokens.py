"""What proves to the operator who calls: a token of the audience "xnas", given or made.

The operator asks Kubernetes whom a token stands for, and takes only tokens of its own audience (docs/security.md), so
a kubeconfig's login itself is never shown to it. Such tokens are made for service accounts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from xnas_core.cli.cluster.kube import Kube, path_of
from xnas_core.cli.cluster.options import ClusterOptions
from xnas_core.cli.cluster.searches import check_name
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.service.errors import ForbiddenError, NotFoundError, UnauthenticatedError

AUDIENCE = "xnas"
SECONDS = 3600
_RENEWED_AT = 0.8
"""Part of its life after which a token is made anew, as kubelets do."""
_ACCOUNT = "system:serviceaccount:"

TokenSource = str | Callable[[], str]


def token_source(kube: Kube | None, options: ClusterOptions, namespace: str) -> TokenSource:
    """Return the token, or what gives it each time.

    Args:
        kube: where a token can be made; None: nowhere.
        options: what was said.
        namespace: of the search; an account without a namespace is there.

    Raises:
        InvalidInputError: none was given, and none can be made.
    """
    if options.token is not None and options.token_file is not None:
        raise InvalidInputError("--token and --token-file (or XNAS_TOKEN) exclude each other; give one of them")
    if options.token is not None:
        return options.token
    if options.token_file is not None:
        return _file(options.token_file)
    if kube is None:
        raise InvalidInputError(
            "with --address the call needs a token: set XNAS_TOKEN, or give --token-file "
            f"(kubectl create token ACCOUNT --audience {AUDIENCE} makes one)"
        )
    if options.service_account is not None:
        before, _, name = options.service_account.rpartition("/")
        return AccountToken(
            kube, check_name(before or namespace, "namespace"), check_name(name, "service account")
        ).current
    account = _own_account(kube)
    return AccountToken(kube, *account).current


class AccountToken:
    """Makes tokens of a service account, a new one before the old one ends; takes `create` on serviceaccounts/token."""

    def __init__(self, kube: Kube, namespace: str, name: str, clock: Callable[[], float] = time.time) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._token = ""
        self._until = 0.0

    def current(self) -> str:
        """Return a token that is good for a while.

        Raises:
            XnasError: none can be made; the sentence says why.
        """
        now = self._clock()
        if now < self._until:
            return self._token
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": SECONDS},
        }
        path = path_of("/api/v1", "namespaces", self._namespace, "serviceaccounts", self._name, "token")
        who = f"{self._namespace}/{self._name}"
        try:
            status = self._kube.post(path, body).get("status") or {}
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no service account {who}; make it with: kubectl create serviceaccount {self._name} "
                f"-n {self._namespace}"
            ) from error
        except ForbiddenError as error:
            raise ForbiddenError(
                f"you may not make a token of the service account {who}: that takes the right to create "
                "serviceaccounts/token; choose another --service-account, or set XNAS_TOKEN"
            ) from error
        token = str(status.get("token") or "")
        if not token:
            raise UnauthenticatedError(f"the cluster made no token for {who}")
        self._token, self._until = token, now + _RENEWED_AT * self._left(status.get("expirationTimestamp"), now)
        return token

    def _left(self, expires: object, now: float) -> float:
        try:
            return max(0.0, datetime.fromisoformat(str(expires)).timestamp() - now)
        except ValueError:
            return SECONDS


def _own_account(kube: Kube) -> tuple[str, str]:
    """Return namespace and name of the service account that the kubeconfig's user is."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        review = kube.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        user = str(((review.get("status") or {}).get("userInfo") or {}).get("username") or "")
    except UnauthenticatedError:
        raise
    except XnasError:
        user = ""
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    if not user.startswith(_ACCOUNT) or not name:
        who = f"you are {user!r}, and " if user else ""
        raise InvalidInputError(
            f"{who}the operator takes only tokens of the audience {AUDIENCE!r}, which are made for service accounts: "
            "name one that may read the search with --service-account NAME (or XNAS_SERVICE_ACCOUNT), or set XNAS_TOKEN"
        )
    return namespace, name


def _file(path: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"the token can't be read from {path}: {error}") from error

    return read
