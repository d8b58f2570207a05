"""The label that leads the Service to the active operator's pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from xnas_operator.kube import PODS, KubeClient, KubeError, NotFoundError

_log = structlog.get_logger(__name__)
ACTIVE_LABEL = "xnas.dev/active"
RETRY_S = 2.0


class ActiveLabel:
    """Sets and clears `xnas.dev/active: "true"` on this operator's pod. A restarted container finds the label that it
    had before: call `clear` at start.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        pod: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pod = pod
        self._sleep = sleep

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """The label is on this pod and on no other. Entered once that is so, however long it takes."""
        while True:
            try:
                await self._show()
                break
            except KubeError as error:
                _log.warning("the pod could not be labelled; the Service leads nowhere yet", why=str(error))
            await self._sleep(RETRY_S)
        try:
            yield
        finally:
            await self.clear()

    async def clear(self) -> None:
        """Take the label off this pod. An error is only logged: the next active operator does it, too."""
        try:
            await self._label(self._pod, None)
        except KubeError as error:
            _log.warning("the label of the active operator was not taken off", why=str(error))

    async def _show(self) -> None:
        listing = await self._kube.list(PODS, self._namespace, labels=f"{ACTIVE_LABEL}=true")
        for item in listing.items:
            name = item["metadata"]["name"]
            if name != self._pod:
                try:
                    await self._label(name, None)
                except NotFoundError:
                    continue
        await self._label(self._pod, "true")

    async def _label(self, pod: str, value: str | None) -> None:
        await self._kube.merge_patch(PODS, self._namespace, pod, {"metadata": {"labels": {ACTIVE_LABEL: value}}})
