"""The stream of an object: header, then bytes, checked against the digest on the way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

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
    content = await backend.artifact(namespace, name, key)
    size, sha256 = (content.size, content.sha256) if expected is None else (expected.size, expected.sha256)
    try:
        yield pb.GetArtifactResponse(header=pb.ArtifactHeader(size=size, sha256=sha256))
        found, read = hashlib.sha256(), 0
        async for chunk in content.chunks:
            found.update(chunk)
            read += len(chunk)
            if read > size:
                break
            for start in range(0, len(chunk), CHUNK_BYTES):
                yield pb.GetArtifactResponse(data=chunk[start : start + CHUNK_BYTES])
    finally:
        close = getattr(content.chunks, "aclose", None)
        if close is not None:
            await close()
    if read != size or found.hexdigest() != sha256:
        raise IntegrityError(f"{key} was altered or is torn: it does not fit the digest that was reported for it")


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
