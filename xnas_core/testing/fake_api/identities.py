"""Who calls the fake API server, and who may do what: tables that a test fills."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xnas_core.testing.fake_api.answers import ApiError, JsonObject

SERVER_AUDIENCE = "https://kubernetes.default.svc"
MASTERS = "system:masters"


@dataclass(frozen=True)
class User:
    """Whom a token stands for. A member of system:masters may do everything."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Token:
    """What a bearer token says."""

    user: User
    audiences: tuple[str, ...] = (SERVER_AUDIENCE,)


@dataclass(frozen=True)
class Access:
    """One line of the access table; `*` stands for all. Resources are written `jobs` or `pods/log`."""

    subject: str
    verbs: tuple[str, ...] = ("*",)
    groups: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)
    names: tuple[str, ...] = ("*",)


ADMIN = User("admin", (MASTERS, "system:authenticated"), "admin-uid")


@dataclass
class Identities:
    """Tokens and access. Requests without a token come from the administrator."""

    tokens: dict[str, Token] = field(default_factory=dict)
    access: list[Access] = field(default_factory=list)

    def allow(
        self,
        subject: str,
        *,
        verbs: Sequence[str] = ("*",),
        groups: Sequence[str] = ("*",),
        resources: Sequence[str] = ("*",),
        namespaces: Sequence[str] = ("*",),
        names: Sequence[str] = ("*",),
    ) -> None:
        """Add a line. `subject` is a user's or a group's name."""
        lines = (tuple(verbs), tuple(groups), tuple(resources), tuple(namespaces), tuple(names))
        self.access.append(Access(subject, *lines))

    def allowed(self, user: User, attributes: Mapping[str, str]) -> bool:
        """Whether the table allows it. Attributes: verb, group, resource, subresource, namespace, name."""
        if MASTERS in user.groups:
            return True
        part = attributes.get("subresource", "")
        resource = attributes.get("resource", "") + (f"/{part}" if part else "")
        return any(
            line.subject in (user.name, *user.groups)
            and _in(attributes.get("verb", ""), line.verbs)
            and _in(attributes.get("group", ""), line.groups)
            and _in(resource, line.resources)
            and _in(attributes.get("namespace", ""), line.namespaces)
            and _in(attributes.get("name", ""), line.names)
            for line in self.access
        )

    def caller(self, headers: Mapping[str, str]) -> User:
        """Who sends a request. ApiError 401 for a token that is not known or not meant for the API server."""
        kind, _, secret = headers.get("Authorization", "").partition(" ")
        user = ADMIN
        if kind.lower() == "bearer":
            token = self.tokens.get(secret.strip())
            if token is None or SERVER_AUDIENCE not in token.audiences:
                raise ApiError(401, "Unauthorized")
            user = token.user
        return user

    def issue(self, namespace: str, account: JsonObject, audiences: Sequence[str], pod: JsonObject | None) -> str:
        """A new token of a service account, bound to a pod where one is given."""
        name = account["metadata"]["name"]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        extra: dict[str, tuple[str, ...]] = {}
        if pod is not None:
            extra["authentication.kubernetes.io/pod-name"] = (pod["metadata"]["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (pod["metadata"]["uid"],)
        user = User(f"system:serviceaccount:{namespace}:{name}", groups, account["metadata"]["uid"], extra)
        secret = f"token-{uuid.uuid4().hex}"
        self.tokens[secret] = Token(user, tuple(audiences) or (SERVER_AUDIENCE,))
        return secret

    def review_token(self, spec: JsonObject) -> JsonObject:
        """The status of a TokenReview."""
        token = self.tokens.get(spec.get("token", ""))
        wanted = spec.get("audiences") or [SERVER_AUDIENCE]
        if token is None:
            return {"user": {}, "error": "invalid bearer token"}
        common = [audience for audience in wanted if audience in token.audiences]
        if not common:
            why = f"token audiences {list(token.audiences)} is invalid for the target audiences {wanted}"
            return {"user": {}, "error": f"invalid bearer token, {why}"}
        user: JsonObject = {"username": token.user.name, "uid": token.user.uid, "groups": list(token.user.groups)}
        if token.user.extra:
            user["extra"] = {key: list(values) for key, values in token.user.extra.items()}
        return {"authenticated": True, "user": user, "audiences": common}

    def review_access(self, spec: JsonObject, user: User) -> JsonObject:
        """The status of a SubjectAccessReview or SelfSubjectAccessReview."""
        allowed = self.allowed(user, spec.get("resourceAttributes") or {})
        return {"allowed": allowed} | ({} if allowed else {"reason": "no rule of the access table matched"})


def _in(value: str, values: tuple[str, ...]) -> bool:
    return "*" in values or value in values
