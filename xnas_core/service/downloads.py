"""The stream of an object: header, then bytes, checked against the digest on the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.artifacts import keys
from xnas_core.errors import IntegrityError
from xnas_core.search.view import StoredArtifact
from xnas_core.service.errors import NotFoundError
from xnas_core.service.interface import SearchBackend
from xnas_core.service.values import CHUNK_BYTES

TABLES = (keys.REPORT, keys.FRONT_TABLE, keys.CANDIDATES_TABLE)


async def download(
    backend: SearchBackend, namespace: str, name: str, key: str
) -> AsyncGenerator[pb.GetArtifactResponse, None]:
    """Yield header and content of an object.

    What an artifact of a candidate has to be, the journal says; the store is not believed.

    Raises:
        InvalidInputError: the key is no key.
        NotFoundError: there is no such artifact.
        IntegrityError: the bytes in the store are not those that were reported.
    """
    keys.check_key(key)
    expected = None if key in TABLES else await _registered(backend, namespace, name, key)
    chunks = await backend.artifact(namespace, name, key)
    async with contextlib.aclosing(chunks):
        if expected is None:
            async for answer in _table(chunks):
                yield answer
            return
        yield _header(expected.size, expected.sha256)
        found, read = hashlib.sha256(), 0
        async for chunk in chunks:
            # Of a large chunk the digest takes as long as all else together.
            await asyncio.to_thread(found.update, chunk)
            read += len(chunk)
            if read > expected.size:
                break
            for part in _parts(chunk):
                yield part
    if read != expected.size or found.hexdigest() != expected.sha256:
        raise IntegrityError(f"{key} was altered or is torn: it does not fit the digest that was reported for it")


async def _table(chunks: AsyncIterator[bytes]) -> AsyncGenerator[pb.GetArtifactResponse, None]:
    """Yield a table or the report: no journal knows its digest, and it was made in memory, so it fits there."""
    data = b"".join([chunk async for chunk in chunks])
    digest = await asyncio.to_thread(hashlib.sha256, data)
    yield _header(len(data), digest.hexdigest())
    for part in _parts(data):
        yield part


def _header(size: int, sha256: str) -> pb.GetArtifactResponse:
    return pb.GetArtifactResponse(header=pb.ArtifactHeader(size=size, sha256=sha256))


def _parts(data: bytes) -> Iterator[pb.GetArtifactResponse]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield pb.GetArtifactResponse(data=data[start : start + CHUNK_BYTES])


async def _registered(backend: SearchBackend, namespace: str, name: str, key: str) -> StoredArtifact:
    view = await backend.view(namespace, name)
    for record in view.candidates:
        if key.startswith(f"candidates/{record.id}/"):
            for artifact in record.artifacts:
                if artifact.key == key:
                    return artifact
    raise NotFoundError(
        f"this search has no artifact {key[:200]!r}; a candidate lists its own, and checkpoints off the front are kept "
        "only with artifacts.checkpoints: all"
    )
