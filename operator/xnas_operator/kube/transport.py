"""Requests to the API server: address and credentials from the `kubernetes` package, deadlines and retries ours."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config
from multidict import CIMultiDict

from xnas_core.errors import InvalidInputError
from xnas_operator.kube.errors import KubeError, UnavailableError, error_for

# The package is generated and has no types.
_client: Any = client
_config: Any = config


@dataclass(frozen=True)
class Patience:
    """Deadlines and retries of one call.

    Attributes:
        attempt_s: deadline of each attempt.
        attempts: attempts in all.
        first_wait_s, longest_wait_s: the wait before the second attempt, doubling up to the longest; each is jittered
            down by up to half.
        longest_retry_after_s: a Retry-After above this is not waited for: the call fails.
    """

    attempt_s: float = 10.0
    attempts: int = 5
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0
    longest_retry_after_s: float = 30.0

    def wait_s(self, attempt: int, retry_after_s: float | None, jitter: random.Random) -> float:
        """Seconds between an attempt (from 1) and the next."""
        backoff = min(self.first_wait_s * 2.0 ** (attempt - 1), self.longest_wait_s)
        return max(backoff * (1 - jitter.random() / 2), retry_after_s or 0.0)


@dataclass(frozen=True)
class Call:
    """What is asked, in the words of RBAC and of HTTP.

    Attributes:
        repeatable: a repetition after a lost answer does no harm. Otherwise only answers that say that nothing was
            done (429) and connections that were never made are tried again.
    """

    verb: str
    group: str
    resource: str
    method: str
    path: str
    namespace: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    repeatable: bool = True


@dataclass(frozen=True)
class Exchange:
    """One attempt, as told to the hook. `code` is 0 where there was no answer. `resource` includes the subresource."""

    verb: str
    group: str
    resource: str
    namespace: str
    code: int
    seconds: float


Hook = Callable[[Exchange], None]


class Transport:
    """Sends calls. Owned by one event loop; `close` it."""

    def __init__(
        self,
        configuration: Any,
        *,
        user_agent: str,
        patience: Patience | None = None,
        hook: Hook | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        self._api: Any = _client.ApiClient(configuration)
        self._user_agent = user_agent
        self._patience = patience or Patience()
        self._hook = hook or (lambda _: None)
        self._jitter = jitter or random.Random()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def send(self, call: Call) -> bytes:
        """The answer's body. KubeError (typed) for what the server refuses, UnavailableError after all attempts."""
        attempt = 1
        while True:
            try:
                return await self._attempt(call)
            except UnavailableError as error:
                if attempt >= self._patience.attempts or not self._may_repeat(call, error):
                    raise
                wait_s = self._patience.wait_s(attempt, error.retry_after_s, self._jitter)
            await asyncio.sleep(wait_s)
            attempt += 1

    async def open(self, call: Call, *, total_s: float) -> aiohttp.ClientResponse:
        """An answer whose body is read by the caller, who must close it. One attempt; KubeError as in `send`."""
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=self._patience.attempt_s)
        code = 0
        try:
            # The answer's head has a deadline of its own: a server that hangs must not hold a watch for `total_s`.
            async with asyncio.timeout(self._patience.attempt_s):
                response = await self._request(call, timeout)
            code = response.status
            if code >= 400:
                async with asyncio.timeout(self._patience.attempt_s):
                    body = await response.read()
                raise _error(call, code, response.headers, body)
            return response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _no_answer(call, error) from error
        finally:
            self._tell(call, code, started)

    async def _attempt(self, call: Call) -> bytes:
        started, code = time.monotonic(), 0
        timeout = aiohttp.ClientTimeout(total=self._patience.attempt_s)
        try:
            response = await self._request(call, timeout)
            body = await response.read()
            code = response.status
            if code >= 400:
                raise _error(call, code, response.headers, body)
            return body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _no_answer(call, error) from error
        finally:
            self._tell(call, code, started)

    async def _request(self, call: Call, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        configuration = self._api.configuration
        headers: CIMultiDict[str] = CIMultiDict()
        headers["Accept"] = "application/json"
        headers["User-Agent"] = self._user_agent
        headers["Content-Type"] = call.content_type
        credentials = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if credentials:
            headers["Authorization"] = credentials
        query = "&".join(f"{key}={_quoted(value)}" for key, value in call.query.items())
        url = configuration.host + call.path + (f"?{query}" if query else "")
        answer = await self._api.rest_client.request(
            call.method, url, headers=headers, body=call.body, _request_timeout=limits
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    def _may_repeat(self, call: Call, error: UnavailableError) -> bool:
        if (error.retry_after_s or 0) > self._patience.longest_retry_after_s:
            return False
        untouched = error.code == 429 or isinstance(error.__cause__, aiohttp.ClientConnectorError)
        return call.repeatable or untouched

    def _tell(self, call: Call, code: int, started: float) -> None:
        seconds = time.monotonic() - started
        self._hook(Exchange(call.verb, call.group, call.resource, call.namespace, code, seconds))


async def configuration(kubeconfig: Path | None = None, context: str | None = None) -> Any:
    """Where the API server is and who we are: a given kubeconfig, else the pod we run in, else the usual kubeconfig.

    Raises:
        InvalidInputError: none of these leads anywhere.
    """
    found = _client.Configuration()
    try:
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            _config.load_incluster_config(found)
        else:
            path = None if kubeconfig is None else str(kubeconfig)
            await _config.load_kube_config(path, context=context, client_configuration=found)
    except (_config.ConfigException, OSError) as error:
        raise InvalidInputError(
            f"no way to the Kubernetes API: {error}; run inside a pod or set KUBECONFIG to a kubeconfig file"
        ) from error
    found.retries = None  # ours are told apart by what was asked, and are counted
    return found


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _error(call: Call, code: int, headers: Mapping[str, str], body: bytes) -> KubeError:
    try:
        status = json.loads(body)
        message, reason = str(status.get("message") or ""), str(status.get("reason") or "")
    except (ValueError, AttributeError):
        message, reason = body[:300].decode(errors="replace"), ""
    text = headers.get("Retry-After", "")
    wait = float(text) if text.replace(".", "", 1).isdigit() else None
    return error_for(code, reason, message or f"{call.method} {call.path} was answered with {code}", wait)


def _no_answer(call: Call, error: Exception) -> UnavailableError:
    why = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return UnavailableError(f"the Kubernetes API did not answer {call.method} {call.path}: {why}")
