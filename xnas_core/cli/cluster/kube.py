"""Requests to the Kubernetes API: address and credentials by the `kubernetes` package, deadlines and sentences ours."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from xnas_core.cli.cluster.kubeconfig import Access, NoClusterError
from xnas_core.cli.cluster.refusals import refusal, unreachable
from xnas_core.service.errors import UnavailableError

JsonObject = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_TRIES = 4
_PAUSE_SECONDS = 0.25
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one request. Only what reads is repeated."""

    connect_seconds: float = _CONNECT_SECONDS
    read_seconds: float = _READ_SECONDS
    tries: int = _TRIES
    pause_seconds: float = _PAUSE_SECONDS


@dataclass
class Kube:
    """An API server. Safe to use from several threads; close it."""

    access: Access
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        from kubernetes import client

        self._api: Any = client.ApiClient(self.access.configuration)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._api.rest_client.pool_manager.clear()

    @property
    def host(self) -> str:
        """Address of the API server, for people."""
        return str(self.access.configuration.host)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Return an object, or one page of a list. Repeated where the answer was that it can't be now, or none at all.

        Raises:
            XnasError: it was refused, or there was no answer; see `refusals`.
        """
        failures = 0
        while True:
            try:
                return self._send("GET", path, query)
            except UnavailableError:
                failures += 1
                if failures >= self.patience.tries:
                    raise
            time.sleep(self.patience.pause_seconds * 2 ** (failures - 1))

    def items(self, path: str, query: Mapping[str, str] | None = None) -> list[JsonObject]:
        """Return all objects of a list, whatever the number of pages."""
        found: list[JsonObject] = []
        asked = {**(query or {}), "limit": str(_PAGE)}
        while True:
            page = self.get(path, asked)
            found += page.get("items") or []
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return found
            asked["continue"] = following

    def post(self, path: str, body: JsonObject, query: Mapping[str, str] | None = None) -> JsonObject:
        """Create something; return it as stored."""
        return self._send("POST", path, query, body)

    def patch(self, path: str, body: JsonObject) -> JsonObject:
        """Apply a JSON merge patch; return the object as stored."""
        return self._send("PATCH", path, None, body, MERGE_PATCH)

    def delete(self, path: str, body: JsonObject) -> JsonObject:
        """Delete with DeleteOptions."""
        return self._send("DELETE", path, None, body)

    def lines(self, path: str, query: Mapping[str, str], silence_seconds: float | None = None) -> Iterator[str]:
        """Yield the lines of a text that may go on growing, such as a log.

        Args:
            path: what.
            query: how.
            silence_seconds: silence after which it ends; None: the deadline of a request, for a text that is there.

        Raises:
            XnasError: as `get`; silence for too long is a DeadlineError.
        """
        from urllib3.exceptions import HTTPError

        response = self._open("GET", path, query, None, "", silence_seconds or self.patience.read_seconds)
        rest = b""
        try:
            for chunk in response.stream(65_536):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
        except (HTTPError, OSError) as error:
            raise unreachable(self.host, error) from error
        finally:
            response.close()
        if rest:
            yield rest.decode(errors="replace")

    # --- one request ----------------------------------------------------------------------------------------------

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        from urllib3.exceptions import HTTPError

        response = self._open(method, path, query, body, content_type, self.patience.read_seconds)
        try:
            document = json.loads(response.data)
        except ValueError:
            document = None
        except (HTTPError, OSError) as error:
            raise unreachable(self.host, error) from error
        if not isinstance(document, dict):
            raise UnavailableError(f"{self.host} does not answer as a Kubernetes API does; is it the right kubeconfig?")
        return document

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: JsonObject | None,
        content_type: str,
        read_seconds: float,
    ) -> Any:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        url = self.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._api.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=self._headers(content_type),
                timeout=Timeout(connect=self.patience.connect_seconds, read=read_seconds),
                retries=False,
                preload_content=False,
            )
            if response.status < 400:
                return response
            status, said = response.status, response.data
        except (HTTPError, OSError) as error:
            raise unreachable(self.host, error) from error
        raise refusal(self.host, status, said)

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Accept": "application/json, */*", "User-Agent": "xnas-cli"}
        if content_type:
            headers["Content-Type"] = content_type
        from kubernetes.config import ConfigException

        try:
            # Runs the login plug-in of the kubeconfig, where there is one and its token has expired.
            token = self.access.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        except ConfigException as error:
            raise NoClusterError(f"the kubeconfig's login does not work: {error}; log in again") from error
        if token:
            headers["Authorization"] = token
        return headers


def path_of(prefix: str, *parts: str) -> str:
    """Return a path below a prefix. Parts are names, which are quoted; "." and ".." are none (see `check_name`)."""
    return "/".join([prefix, *(quote(part, safe="") for part in parts)])
