"""`pods/portforward` of the fake API server, by WebSocket: to wherever a test says that a pod's port leads.

Frames are those of Kubernetes' channel protocol: one byte says the channel (0 data, 1 error), and the first frame of
each channel holds the port, little-endian.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import WSMsgType, web

from xnas_core.testing.fake_api.answers import ApiError

Forwards = Mapping[tuple[str, str, int], tuple[str, int]]
"""(namespace, pod, port) -> host and port of a TCP server."""
_DATA, _ERROR = b"\0", b"\1"
_BLOCK_BYTES = 65_536


async def serve(request: web.Request, namespace: str, pod: str, forwards: Forwards) -> web.StreamResponse:
    """Forward until one side ends. ApiError 400 for what is no WebSocket."""
    ports = request.query.get("ports", "")
    if not ports.isdigit():
        raise ApiError(400, "the query parameter ports is missing or wrong")
    socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
    if not socket.can_prepare(request):
        raise ApiError(400, "Upgrade request required")
    await socket.prepare(request)
    port = int(ports)
    for channel in (_DATA, _ERROR):
        await socket.send_bytes(channel + port.to_bytes(2, "little"))
    target = forwards.get((namespace, pod, port))
    try:
        if target is None:
            raise ConnectionRefusedError("connection refused")
        reader, writer = await asyncio.open_connection(*target)
    except OSError as error:
        said = f"an error occurred forwarding {port} -> {port}: {error}"
        await socket.send_bytes(_ERROR + said.encode())
        await socket.close()
        return socket
    back = asyncio.create_task(_back(reader, socket))
    try:
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == _DATA:
                writer.write(message.data[1:])
                await writer.drain()
    finally:
        # First, for a client that goes away cancels whatever waits here.
        writer.close()
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
    return socket


async def _back(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while data := await reader.read(_BLOCK_BYTES):
        await socket.send_bytes(_DATA + data)
    await socket.close()
