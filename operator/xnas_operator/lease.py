"""One active operator at a time, by a coordination.k8s.io Lease.

Safe under clocks that are wrong and drift: no clock is compared with another's. A candidate takes a Lease over when it
has not seen it change for the whole duration, by its own monotonic clock; a holder counts itself out after two thirds
of the duration without a renewal, counted from before the request that succeeded. So two never hold it at once while
clocks run less than 10% fast or slow and the API server is linearizable. Beyond that the journal still protects
(protocol.md §5.2).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from xnas_core.errors import XnasError
from xnas_operator.kube import LEASES, AlreadyExistsError, ConflictError, JsonObject, KubeError, NotFoundError, Resource

_log = structlog.get_logger(__name__)


class LeadershipLostError(XnasError):
    """The Lease could not be renewed in time, or another operator holds it."""

    reason = "LeadershipLost"


class LeaseApi(Protocol):
    """What is needed of KubeClient."""

    async def get(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """See KubeClient.get."""
        ...

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        """See KubeClient.create."""
        ...

    async def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        """See KubeClient.replace."""
        ...


@dataclass(frozen=True)
class ElectionTimes:
    """Seconds.

    Attributes:
        duration_s: a Lease that was not renewed for so long may be taken over.
        renew_s: between renewals; at most half of the duration.
    """

    duration_s: float = 15.0
    renew_s: float = 5.0

    @property
    def give_up_s(self) -> float:
        """A holder counts itself out so long after its last renewal."""
        return self.duration_s * 2 / 3

    @property
    def poll_s(self) -> float:
        """Between two looks of one who waits for the Lease."""
        return self.renew_s * 0.4

    @property
    def retry_s(self) -> float:
        """Between a renewal that failed and the next try."""
        return self.renew_s * 0.1


def holder_identity(pod_name: str) -> str:
    """A name for this process: unlike the pod's, it is new after a restart."""
    return f"{pod_name}_{uuid.uuid4()}"


class LeaseElector:
    """Takes part in one election. Use from one event loop.

    Args:
        clock: seconds, monotonic. `sleep` waits by the same clock.
        now: wall-clock time, written into the Lease for people only.
    """

    def __init__(
        self,
        api: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: ElectionTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.identity = identity
        self._api = api
        self._namespace = namespace
        self._name = name
        self._times = times or ElectionTimes()
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._lease: JsonObject | None = None  # as last seen
        self._seen = 0.0  # when it was first seen like that
        self._renewed: float | None = None  # start of the last request that made or kept us the holder

    @property
    def held(self) -> bool:
        """Whether we hold the Lease at this moment, by our own clock."""
        return self._renewed is not None and self._clock() < self._renewed + self._times.give_up_s

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then do the work while holding it; give the Lease back when the work has ended.

        Raises:
            LeadershipLostError: the Lease was lost. The work was cancelled and has ended before this is raised.
        """
        await self.acquire()
        working = asyncio.ensure_future(work())
        keeping = asyncio.ensure_future(self.keep())
        try:
            await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise LeadershipLostError(
                    f"the Lease {self._namespace}/{self._name} was lost; the operator stops acting"
                )
            await working
        finally:
            # While the work comes to its end the Lease is still renewed: nobody else may begin before.
            await _end(working)
            await _end(keeping)
            await self.release()

    async def acquire(self) -> None:
        """Return when we hold the Lease. Whatever the API server answers, try again."""
        while not await self._tried():
            await self._sleep(self._times.poll_s)
        _log.info("became the active operator", lease=self._name, identity=self.identity)

    async def keep(self) -> None:
        """Renew until the Lease is lost; then return."""
        renewing = asyncio.ensure_future(self._renew())
        try:
            while self.held and not renewing.done():
                # A request that hangs must not hide that time is up.
                assert self._renewed is not None  # held says so
                waiting = asyncio.ensure_future(self._sleep(self._renewed + self._times.give_up_s - self._clock()))
                await asyncio.wait((renewing, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            await _end(renewing)
        self._renewed = None
        _log.warning("no longer the active operator", lease=self._name, identity=self.identity)

    async def release(self) -> None:
        """Give the Lease back, so that the next need not wait; no error if that fails."""
        if not self.held or self._lease is None:
            self._renewed = None
            return
        self._renewed = None
        spec = self._lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._stamp()}
        try:
            async with asyncio.timeout(self._times.renew_s):
                await self._api.replace(LEASES, self._namespace, self._lease | {"spec": spec})
        except (KubeError, TimeoutError) as error:
            _log.warning("the Lease was not given back; the next operator waits for it", why=str(error))

    async def _renew(self) -> None:
        """Renew in time; return once another holds the Lease."""
        while True:
            await self._sleep(self._times.renew_s)
            while not await self._tried():
                holder = (self._lease or {}).get("spec", {}).get("holderIdentity")
                if holder not in (None, "", self.identity):
                    return
                await self._sleep(self._times.retry_s)

    async def _tried(self) -> bool:
        """One try to take or keep the Lease. Whether it is ours now."""
        started = self._clock()
        try:
            async with asyncio.timeout(self._patience_s()):
                if not await self._written():
                    return False
        except ConflictError:
            return False  # somebody was faster; the next try reads who
        except (KubeError, TimeoutError) as error:
            _log.warning("the Lease could not be read or written", lease=self._name, why=str(error) or "no answer")
            return False
        if self._clock() >= started + self._times.give_up_s:
            return False  # the answer took so long that others may already count us out
        self._renewed = started
        return True

    def _patience_s(self) -> float:
        """Deadline of one try: of a renewal half the time that is left, so that another try fits in."""
        if self._renewed is None:
            return self._times.renew_s
        return max((self._renewed + self._times.give_up_s - self._clock()) / 2, 0.0)

    async def _written(self) -> bool:
        """Read the Lease and write it if it is ours or free."""
        try:
            self._observe(await self._api.get(LEASES, self._namespace, self._name))
        except NotFoundError:
            return await self._created()
        assert self._lease is not None  # just observed
        spec = self._lease["spec"]
        ours = spec.get("holderIdentity") == self.identity
        duration_s = max(float(spec.get("leaseDurationSeconds") or 0), self._times.duration_s)
        if spec.get("holderIdentity") and not ours and self._clock() < self._seen + duration_s:
            return False
        stamp = self._stamp()
        fresh = spec | {"renewTime": stamp} if ours else self._spec(stamp, int(spec.get("leaseTransitions") or 0) + 1)
        self._observe(await self._api.replace(LEASES, self._namespace, self._lease | {"spec": fresh}))
        return True

    async def _created(self) -> bool:
        """Make the Lease. One that was removed by hand while another held it is treated as if it were still there."""
        known = (self._lease or {}).get("spec", {})
        others = known.get("holderIdentity") not in (None, "", self.identity)
        if others and self._clock() < self._seen + self._times.duration_s:
            return False
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(self._stamp(), int(known.get("leaseTransitions") or 0)),
        }
        try:
            self._observe(await self._api.create(LEASES, self._namespace, body))
        except AlreadyExistsError:
            return False
        return True

    def _observe(self, lease: JsonObject) -> None:
        if self._lease is None or self._lease["spec"] != lease.get("spec"):
            self._seen = self._clock()
        self._lease = lease | {"spec": lease.get("spec") or {}}

    def _spec(self, stamp: str, transitions: int) -> JsonObject:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._times.duration_s),
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": transitions,
        }

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait for its end. What it raises then is logged: its caller has another error to raise."""
    running = not task.done()
    task.cancel()
    await asyncio.wait((task,))
    if running and not task.cancelled() and (error := task.exception()) is not None:
        _log.error("an error while ending", exc_info=error)
