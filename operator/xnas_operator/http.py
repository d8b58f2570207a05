"""The port for machines: is it alive, is it ready, how is it doing. No TLS, no names of candidates, no secrets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from xnas_core.errors import InvalidInputError, XnasError
from xnas_operator.auth.memory import Memory
from xnas_operator.metrics import Metrics

_log = structlog.get_logger(__name__)
_REMEMBERED_S = 1.0
"""Readiness is not found out more often than this, however many ask."""


@dataclass
class Heartbeat:
    """A sign of life that must come again within `limit_s` seconds."""

    limit_s: float
    clock: Callable[[], float]
    last: float

    def beat(self) -> None:
        """It lives."""
        self.last = self.clock()

    @property
    def age_s(self) -> float:
        """Seconds since the last sign."""
        return self.clock() - self.last


class Heartbeats:
    """What must go on for this process to be alive."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, Heartbeat] = {}

    def register(self, name: str, limit_s: float) -> Heartbeat:
        """A new heartbeat, counted from now."""
        self._beats[name] = Heartbeat(limit_s, self._clock, self._clock())
        return self._beats[name]

    def remove(self, name: str) -> None:
        """It is not expected any more (a watch that was ended on purpose)."""
        self._beats.pop(name, None)

    def report(self) -> dict[str, str]:
        """For each name "ok", or what is wrong."""
        return {name: _sentence(beat) for name, beat in sorted(self._beats.items())}


@dataclass(frozen=True)
class Check:
    """One condition of readiness: `probe` returns, or raises; longer than `deadline_s` is a failure."""

    probe: Callable[[], Awaitable[object]]
    deadline_s: float = 3.0


@dataclass
class Readiness:
    """Named checks, made together. Each is under way once at most: one that hangs must not use up threads."""

    checks: dict[str, Check] = field(default_factory=dict)
    _under_way: dict[str, asyncio.Future[object]] = field(default_factory=dict)
    _memory: Memory[str, Mapping[str, str]] = field(default_factory=lambda: Memory(lambda _: _REMEMBERED_S, size=1))

    def add(self, name: str, probe: Callable[[], Awaitable[object]], deadline_s: float = 3.0) -> None:
        """Add a check. Kubernetes waits 5 s for all of them."""
        self.checks[name] = Check(probe, deadline_s)

    async def report(self) -> Mapping[str, str]:
        """For each name "ok", or what is wrong."""
        return await self._memory.get("", self._make)

    async def _make(self) -> Mapping[str, str]:
        names = sorted(self.checks)
        found = await asyncio.gather(*(_made(self._probed(name), self.checks[name].deadline_s) for name in names))
        return dict(zip(names, found, strict=True))

    def _probed(self, name: str) -> asyncio.Future[object]:
        probe = self._under_way.get(name)
        if probe is None or probe.done():
            probe = self._under_way[name] = asyncio.ensure_future(self.checks[name].probe())
            # Nobody may be waiting any more when it ends.
            probe.add_done_callback(lambda done: done.cancelled() or done.exception())
        return probe


class HttpServer:
    """/healthz, /readyz and /metrics on one port of all interfaces. 200, or 503 with what is wrong, as JSON.

    Args:
        port: 0 takes a free one; `port` then says which.
    """

    def __init__(
        self, port: int, heartbeats: Heartbeats, readiness: Readiness, metrics: Metrics, host: str | None = None
    ) -> None:
        self.port = port
        self._host = host
        self._heartbeats = heartbeats
        self._readiness = readiness
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            InvalidInputError: the port is taken.
        """
        app = web.Application(client_max_size=1024)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._exposition)
        app.on_response_prepare.append(_without_version)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self.stop()
            raise InvalidInputError(f"cannot listen on port {self.port}: {error}; change http.port") from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._heartbeats.report())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(await self._readiness.report())

    async def _exposition(self, _: web.Request) -> web.Response:
        text, content_type = self._metrics.exposition()
        return web.Response(body=text, headers={"Content-Type": content_type})


def _answer(report: Mapping[str, str]) -> web.Response:
    good = all(text == "ok" for text in report.values())
    body = {"status": "ok" if good else "failing", "checks": dict(report)}
    return web.json_response(body, status=200 if good else 503)


async def _without_version(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "xnas"


async def _made(probe: asyncio.Future[object], deadline_s: float) -> str:
    try:
        async with asyncio.timeout(deadline_s):
            await asyncio.shield(probe)
    except TimeoutError:
        return f"no answer within {deadline_s:g} s"
    except (XnasError, OSError) as error:
        return str(error)[:300] or type(error).__name__
    except Exception as error:  # noqa: BLE001  (a bug in a probe means not ready; it must not end the answer)
        _log.exception("a readiness check met an error of its own")
        return f"error: {type(error).__name__}"
    return "ok"


def _sentence(beat: Heartbeat) -> str:
    if beat.age_s <= beat.limit_s:
        return "ok"
    return f"no sign of life for {beat.age_s:.0f} s; {beat.limit_s:g} s are allowed"
