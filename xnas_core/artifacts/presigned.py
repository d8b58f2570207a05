"""One object by a presigned URL: the only way in which objects of an S3 store are read and written here.

The store uses it with URLs that it signs itself, an evaluator with those it is granted. A URL holds a signature that
grants access, so messages name the object without it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from urllib3.exceptions import HTTPError

from xnas_core.artifacts.refusals import code_of, refused, unreachable
from xnas_core.artifacts.transport import REPEATED, Answer, Transport, blocks
from xnas_core.errors import StoreError

MAX_PUT_BYTES = 5 * 1024**3
"""S3's bound of one PUT."""
_RANGE = re.compile(r"^bytes (\d+)-\d+/(\d+)$")
_ONLY_IF_ABSENT = {"If-None-Match": "*"}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}


def put(transport: Transport, url: str, data: bytes) -> None:
    """Create or replace the object. Blocks.

    Raises:
        AccessRefusedError: the URL has expired, or never allowed this.
        StoreError: the store could not, repetitions used up.
    """
    answer = _exchange(transport, "PUT", url, data, _headers(url, data))
    if answer.status not in (200, 201, 204):
        raise _refused("write", url, answer)


def create(transport: Transport, url: str, data: bytes) -> bool:
    """Create the object only if it is absent; return False if it exists. Blocks.

    False is also the answer where an earlier request of this same call wrote the object and the answer to it was lost:
    whoever must know compares the content (protocol.md §5.7).

    Raises:
        AccessRefusedError, StoreError: see `put`; the object may or may not exist.
    """
    headers = _headers(url, data) | _ONLY_IF_ABSENT
    # 409: another request for the same key was under way; its outcome decides.
    answer = _exchange(transport, "PUT", url, data, headers, repeated=REPEATED | {409})
    if answer.status == 412:
        return False
    if answer.status == 501:
        raise StoreError(
            f"cannot create {shown(url)}: the store does not know conditional writes (If-None-Match); "
            "use one that does, or update it"
        )
    if answer.status not in (200, 201, 204):
        raise _refused("create", url, answer)
    return True


def get(transport: Transport, url: str) -> bytes | None:
    """Return the object, whole, or None if there is none. Blocks.

    Raises:
        AccessRefusedError, StoreError: see `put`.
    """
    answer = _exchange(transport, "GET", url)
    if _absent(answer.status, answer.content):
        return None
    if answer.status != 200:
        raise _refused("read", url, answer)
    return answer.content


def stream(transport: Transport, url: str) -> Generator[bytes] | None:
    """Return a generator over the object's blocks, in order, or None if there is no object.

    Nothing is repeated once blocks arrive: the generator raises StoreError where the object breaks off.

    Raises:
        AccessRefusedError, StoreError: see `put`.
    """
    try:
        response = transport.stream("GET", url)
        if response.status == 200:
            return _explained(blocks(response), url)
        content = b"".join(blocks(response))
    except HTTPError as error:
        raise unreachable("read", shown(url), error) from None
    if _absent(response.status, content):
        return None
    raise refused("read", shown(url), response.status, code_of(content))


@dataclass(frozen=True, slots=True)
class Rest:
    """An object from one byte on.

    Attributes:
        start: number of the first byte; 0 where the object is not the one that was begun, or the store gives no parts.
        size: bytes of the whole object.
        etag: names this content; "" if the store gives none.
        blocks: the content from `start` on, in order; raises StoreError where it breaks off. Read it or close it.
    """

    start: int
    size: int
    etag: str
    blocks: Generator[bytes]


def rest(transport: Transport, url: str, start: int = 0, etag: str = "") -> Rest | None:
    """Return the rest of an object whose first `start` bytes are here, or None if there is no object.

    Args:
        start: bytes that are here; more than 0 only with the `etag` that they came with.

    Raises:
        AccessRefusedError, StoreError: see `put`.
    """
    try:
        response = transport.stream("GET", url, {"Range": f"bytes={start}-"} if start and etag else None)
        found = response.headers.get("ETag", "")
        if response.status == 206 and (where := _RANGE.match(response.headers.get("Content-Range", ""))):
            first, size = int(where.group(1)), int(where.group(2))
            if first == start and found == etag:
                return Rest(start, size, etag, _explained(blocks(response), url))
        if start and response.status in (206, 416):
            # Another content by now, or the part that it had is not there any more.
            response.close()
            return rest(transport, url)
        if response.status == 200:
            said = response.headers.get("Content-Length", "")
            if not said.isdecimal():
                response.close()
                raise StoreError(f"cannot read {shown(url)}: the store does not say how long it is")
            return Rest(0, int(said), found, _explained(blocks(response), url))
        content = b"".join(blocks(response))
    except HTTPError as error:
        raise unreachable("read", shown(url), error) from None
    if _absent(response.status, content):
        return None
    raise refused("read", shown(url), response.status, code_of(content))


def size(transport: Transport, url: str) -> int | None:
    """Return the object's size in bytes, by a URL signed for HEAD, or None: there is none, or no bucket, or no user.

    An answer to HEAD has no content, so it does not say which; `get` tells.

    Raises:
        AccessRefusedError, StoreError: see `put`.
    """
    answer = _exchange(transport, "HEAD", url)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise _refused("look at", url, answer)
    return int(answer.headers.get("Content-Length", "0"))


def delete(transport: Transport, url: str) -> None:
    """Delete the object; nothing happens if it is absent. Raises AccessRefusedError, StoreError: see `put`."""
    answer = _exchange(transport, "DELETE", url)
    if answer.status not in (200, 202, 204) and not _absent(answer.status, answer.content):
        raise _refused("delete", url, answer)


def shown(url: str) -> str:
    """Return the URL without its signature."""
    return url.partition("?")[0]


def _exchange(
    transport: Transport,
    method: str,
    url: str,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    repeated: frozenset[int] = REPEATED,
) -> Answer:
    try:
        return transport.exchange(method, url, body=data, headers=headers, repeated=repeated)
    except HTTPError as error:
        # Not `from error`: urllib3's errors may hold the URL, and a traceback would show it.
        raise unreachable({"PUT": "write", "DELETE": "delete"}.get(method, "read"), shown(url), error) from None


def _headers(url: str, data: bytes) -> dict[str, str]:
    if len(data) > MAX_PUT_BYTES:
        raise StoreError(f"cannot write {shown(url)}: {len(data)} bytes are more than S3 takes at once (5 GiB)")
    # The store compares the digest: what was torn or altered on the way is refused, not kept.
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    suffix = "." + shown(url).rpartition(".")[2]
    return {"Content-MD5": digest, "Content-Type": _TYPES.get(suffix, "application/octet-stream")}


def _absent(status: int, content: bytes) -> bool:
    # Any other 404 (no such bucket, no such user, somebody's proxy) is a wrong setting: taken for an absent object, it
    # would make a journal look empty.
    return status == 404 and code_of(content) == "NoSuchKey"


def _refused(action: str, url: str, answer: Answer) -> StoreError:
    return refused(action, shown(url), answer.status, code_of(answer.content))


def _explained(found: Iterator[bytes], url: str) -> Generator[bytes]:
    try:
        yield from found
    except HTTPError as error:
        raise unreachable("read", shown(url), error) from None
