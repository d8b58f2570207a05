"""An S3 server in this process that can be told to fail, for tests of whatever speaks to a store.

It knows objects, conditional creation, lists and deletion in bulk, and checks no signature. The store's contract runs
over it and over a real server, so that the two agree.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.transport import Patience

QUICK = Patience(
    connect_seconds=2,
    read_seconds=2,
    deadline_seconds=10,
    tries=4,
    first_pause_seconds=0.001,
    longest_pause_seconds=0.01,
)
"""Limits for tests: pauses of milliseconds."""


class Trouble(StrEnum):
    """What happens to one request instead of an answer."""

    RESET = "reset"
    """The connection breaks before anything is done."""
    DONE_THEN_RESET = "doneThenReset"
    """The request is carried out, then the connection breaks: the answer is lost (protocol.md §5.7)."""
    SILENCE = "silence"
    """Nothing is ever answered."""
    TORN = "torn"
    """The answer ends after half of its content."""
    DRIP = "drip"
    """The answer comes a byte at a time, each well before any limit of silence."""
    NO_LENGTH = "noLength"
    """The answer does not say how long it is."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer instead of the real one: HTTP status and S3's code."""

    status: int
    code: str = ""


Step = Trouble | Refusal | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived: its method, path with query, and headers."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class FakeS3:
    """The server and its one bucket.

    Attributes:
        url: the endpoint.
        bucket: the only one that exists.
        objects: name -> content, open to tests.
        script: what happens to the next requests, first one first; None: nothing odd. Empty: nothing odd any more.
        seen: every request, oldest first.
        page: objects in one page of a list.
        ignores_ranges: answers with the whole object where a part was asked for.
        ignores_conditions: answers a conditional PUT as if it were none, as old servers do.
    """

    url: str = ""
    bucket: str = "bucket"
    objects: dict[str, bytes] = field(default_factory=dict)
    script: list[Step] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    page: int = 1000
    ignores_conditions: bool = False
    ignores_ranges: bool = False
    ended: threading.Event = field(default_factory=threading.Event, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def settings(self, prefix: str = "", patience: Patience = QUICK) -> S3Settings:
        """Return settings for a part of the bucket."""
        return S3Settings(self.url, self.bucket, "access", "secret", prefix=prefix, patience=patience)

    def methods(self) -> list[str]:
        """Return the methods of the requests seen."""
        return [seen.method for seen in self.seen]


@contextmanager
def fake_s3(identity: ssl.SSLContext | None = None) -> Iterator[FakeS3]:
    """Serve on a free port of the loopback interface until the block ends; with an identity, over TLS."""
    fake = FakeS3()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = _Server(("127.0.0.1", 0), handler)
    if identity is not None:
        server.socket = identity.wrap_socket(server.socket, server_side=True)
    fake.url = f"http{'s' if identity else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that left; that is what tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed: the socket itself


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[FakeS3]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        """Serve the method; so do the others."""
        self._serve()

    do_GET = do_HEAD = do_DELETE = do_POST = do_PUT  # noqa: N815  (the base class's names)

    def _serve(self) -> None:
        fake = self.fake
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with fake.lock:
            fake.seen.append(Seen(self.command, self.path, dict(self.headers)))
            step = fake.script.pop(0) if fake.script else None
        if step is Trouble.RESET:
            return self._break_off()
        if step is Trouble.SILENCE:
            fake.ended.wait()
            return self._break_off()
        if isinstance(step, Refusal):
            return self._answer(step.status, _error(step.code) if step.code else b"")
        with fake.lock:
            status, content = self._carry_out(body)
        if step is Trouble.DONE_THEN_RESET:
            return self._break_off()
        return self._answer(status, content, step)

    def _part(self, status: int, content: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Return what an answer to GET becomes where a part was asked for, with the headers that say so."""
        if status != 200 or self.command != "GET":
            return status, content, {}
        headers = {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'}
        asked = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if not asked.isdecimal() or self.fake.ignores_ranges:
            return status, content, headers
        start, size = int(asked), len(content)
        if start >= size:
            return 416, _error("InvalidRange"), {}
        return 206, content[start:], headers | {"Content-Range": f"bytes {start}-{size - 1}/{size}"}

    def _carry_out(self, body: bytes) -> tuple[int, bytes]:
        fake, url = self.fake, urlsplit(self.path)
        bucket, _, name = unquote(url.path).lstrip("/").partition("/")
        if bucket != fake.bucket:
            return 404, _error("NoSuchBucket")
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        match self.command:
            case "PUT":
                return self._put(name, body)
            case "POST":
                for element in ElementTree.fromstring(body).iter():
                    if element.tag.rpartition("}")[2] == "Key":
                        fake.objects.pop(element.text or "", None)
                return 200, b'<?xml version="1.0"?><DeleteResult></DeleteResult>'
            case "DELETE":
                fake.objects.pop(name, None)
                return 204, b""
            case _ if not name:
                return 200, self._listed(query)
            case _ if name in fake.objects:
                return 200, fake.objects[name]
        return 404, _error("NoSuchKey")

    def _put(self, name: str, body: bytes) -> tuple[int, bytes]:
        fake = self.fake
        digest = self.headers.get("Content-MD5")
        if digest and base64.b64decode(digest) != hashlib.md5(body, usedforsecurity=False).digest():
            return 400, _error("BadDigest")
        if self.headers.get("If-None-Match") == "*" and name in fake.objects and not fake.ignores_conditions:
            return 412, _error("PreconditionFailed")
        fake.objects[name] = body
        return 200, b""

    def _listed(self, query: Mapping[str, str]) -> bytes:
        fake = self.fake
        after = query.get("continuation-token", query.get("start-after", ""))
        names = sorted(name for name in fake.objects if name.startswith(query.get("prefix", "")) and name > after)
        shown, more = names[: fake.page], len(names) > fake.page
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(fake.objects[name])}</Size></Contents>" for name in shown
        )
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{fake.bucket}</Name><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        ).encode()

    def _answer(self, status: int, content: bytes, step: Step = None) -> None:
        status, content, headers = self._part(status, content)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if step is Trouble.NO_LENGTH:
            self.close_connection = True
        elif status != 204:
            self.send_header("Content-Length", str(len(content)))
        if content.startswith(b"<?xml"):
            self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command == "HEAD":
            return
        if step is Trouble.TORN:
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif step is Trouble.DRIP:
            for byte in content:
                self.wfile.write(bytes([byte]))
                if self.fake.ended.wait(0.02):
                    return
        else:
            self.wfile.write(content)

    def _break_off(self) -> None:
        self.close_connection = True
        # Reset, not an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.connection.close()


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>scripted</Message></Error>'.encode()
