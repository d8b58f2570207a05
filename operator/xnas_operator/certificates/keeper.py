"""Keeps the server's certificate in a Secret, and notices when it changes there."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime
from collections.abc import Callable
from typing import Literal

import structlog

from xnas_operator.certificates.authority import (
    CertificateError,
    Material,
    Policy,
    certificates,
    check_pair,
    describe,
    expiry,
    fresh,
    renewed,
)
from xnas_operator.kube import SECRETS, ConflictError, JsonObject, KubeClient, KubeError, NotFoundError

_log = structlog.get_logger(__name__)
_ATTEMPTS = 5
_FIELDS = {"tls.key": "key", "tls.crt": "chain", "ca.crt": "ca_bundle", "ca.key": "ca_key"}


class CertificateKeeper:
    """Implements `xnas_core.dispatch.listener.CertificateSource`. Call `refresh` before serving, then now and then.

    With source "selfSigned" the Secret is made and renewed; operators that do so at the same time agree on what was
    stored first. With "secret" it is only read: cert-manager or a person renews it, with keys tls.crt, tls.key and,
    unless clients trust the issuer anyway, ca.crt.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        secret_name: str,
        policy: Policy,
        source: Literal["selfSigned", "secret"] = "selfSigned",
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = secret_name
        self._policy = policy
        self._source = source
        self._now = now
        self._material: Material | None = None

    def current(self) -> tuple[bytes, bytes]:
        """The server's private key and chain, PEM. Does not block.

        Raises:
            CertificateError: `refresh` has not succeeded yet.
        """
        material = self._ready()
        return material.key, material.chain

    def ca_bundle(self) -> bytes:
        """The authorities that evaluators shall trust, PEM; empty where the Secret has no ca.crt."""
        return self._ready().ca_bundle

    def expires(self) -> datetime.datetime:
        """When the server's certificate ends."""
        return expiry(self._ready().chain)

    async def refresh(self) -> bool:
        """Read the Secret, make or renew it where that is ours to do. Whether anything is new since the last time.

        Raises:
            CertificateError: the Secret is missing (source "secret") or unusable. What was there before goes on.
            KubeError: the API server refused or did not answer.
        """
        for _ in range(_ATTEMPTS):
            try:
                found = await self._stored()
            except ConflictError:
                continue  # another operator was faster
            break
        else:
            raise CertificateError(f"the Secret {self._namespace}/{self._name} changes all the time")
        if found == self._material:
            return False
        self._material = found
        ends = expiry(found.chain).isoformat()
        _log.info("certificate in use", secret=self._name, names=describe(found.chain), ends=ends)
        return True

    async def keep_fresh(self, changed: Callable[[], None], every_s: float = 60.0) -> None:
        """Refresh for ever; tell of changes. Errors are logged: the certificate in use goes on being used."""
        while True:
            await asyncio.sleep(every_s)
            try:
                if await self.refresh():
                    changed()
            except (CertificateError, KubeError) as error:
                _log.error("the certificate could not be refreshed", secret=self._name, why=str(error))

    async def _stored(self) -> Material:
        try:
            secret = await self._kube.get(SECRETS, self._namespace, self._name)
        except NotFoundError:
            if self._source == "secret":
                raise CertificateError(
                    f"there is no Secret {self._namespace}/{self._name}; create it with tls.crt, tls.key and ca.crt, "
                    "or set tls.source to selfSigned"
                ) from None
            body = self._body(fresh(self._policy, self._now()))
            secret, _ = await self._kube.create_or_get(SECRETS, self._namespace, body)
        try:
            material = self._read(secret)
            if self._source == "secret":
                check_pair(material.key, certificates(material.chain, "tls.crt")[0], "tls.key", "tls.crt")
                return material
            changed = renewed(material, self._policy, self._now())
        except CertificateError as error:
            repair = "repair it" if self._source == "secret" else "delete it, and the operator makes a new one"
            raise CertificateError(
                f"the Secret {self._namespace}/{self._name} is unusable: {error}; {repair}"
            ) from error
        if changed is None:
            return material
        patch = {"metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]}, "data": _encoded(changed)}
        await self._kube.merge_patch(SECRETS, self._namespace, self._name, patch)
        return changed

    def _read(self, secret: JsonObject) -> Material:
        data = secret.get("data") or {}
        wanted = ("tls.key", "tls.crt") if self._source == "secret" else tuple(_FIELDS)
        missing = [key for key in wanted if not data.get(key)]
        if missing:
            raise CertificateError(f"it lacks {' and '.join(missing)}")
        try:
            values = {name: base64.b64decode(data.get(key) or "", validate=True) for key, name in _FIELDS.items()}
        except binascii.Error as error:
            raise CertificateError("it is not base64") from error
        if values["ca_bundle"]:
            certificates(values["ca_bundle"], "ca.crt")
        return Material(**(values if self._source == "selfSigned" else values | {"ca_key": b""}))

    def _body(self, material: Material) -> JsonObject:
        labels = {"app.kubernetes.io/managed-by": "xnas-operator", "app.kubernetes.io/name": "xnas"}
        metadata = {"name": self._name, "namespace": self._namespace, "labels": labels}
        return {"metadata": metadata, "type": "kubernetes.io/tls", "data": _encoded(material)}

    def _ready(self) -> Material:
        if self._material is None:
            raise CertificateError(f"the Secret {self._namespace}/{self._name} was not read yet")
        return self._material


def _encoded(material: Material) -> dict[str, str]:
    return {key: base64.b64encode(getattr(material, name)).decode() for key, name in _FIELDS.items()}
