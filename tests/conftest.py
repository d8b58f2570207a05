"""Fixtures that several areas use."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.absent import absent

if TYPE_CHECKING:
    from xnas_core.artifacts.s3 import S3Store
    from xnas_core.artifacts.s3_settings import S3Settings

# One thread a process, before anything loads torch or numpy: where tests run on all cores, threads of one wait for
# those of another, and tests of small networks take ten times as long.
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

_NEEDED = ("XNAS_S3_ENDPOINT", "XNAS_S3_BUCKET", "XNAS_S3_REGION", "XNAS_S3_ACCESS_KEY", "XNAS_S3_SECRET_KEY")


@pytest.fixture
def s3_settings() -> Iterator[S3Settings]:
    """A part of its own in a real S3 server's bucket, emptied afterwards."""
    # Imported here: the SDK takes a third of a second, which most tests need not wait for.
    from xnas_core.artifacts.s3 import S3Store
    from xnas_core.artifacts.s3_settings import S3Settings

    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        absent(f"needs a real S3 server; set {', '.join(missing)}")
    endpoint, bucket, region, access_key, secret_key = (os.environ[name] for name in _NEEDED)
    settings = S3Settings(
        endpoint, bucket, access_key, secret_key, region=region, prefix=f"tests/{secrets.token_hex(8)}"
    )
    yield settings
    store = S3Store(settings)
    store.delete_prefix()
    store.close()


@pytest.fixture
def s3_store(s3_settings: S3Settings) -> Iterator[S3Store]:
    """A store on a real S3 server."""
    from xnas_core.artifacts.s3 import S3Store

    store = S3Store(s3_settings)
    yield store
    store.close()
