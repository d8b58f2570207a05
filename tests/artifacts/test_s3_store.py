"""The S3 store on a real server: the contract, and what only S3 has."""

from __future__ import annotations

import pytest

from xnas_core.artifacts.s3 import S3Store
from xnas_core.testing.store_contract import StoreContract


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, s3_store: S3Store) -> S3Store:
        return s3_store
