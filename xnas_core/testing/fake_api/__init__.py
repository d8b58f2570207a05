"""A fake Kubernetes API server for tests: see `FakeApi`."""

from xnas_core.testing.fake_api.answers import ApiError, JsonObject
from xnas_core.testing.fake_api.faults import Fault, RecordedRequest
from xnas_core.testing.fake_api.identities import Token, User
from xnas_core.testing.fake_api.kinds import DEFAULT_KINDS, Kind
from xnas_core.testing.fake_api.server import FakeApi

__all__ = ["DEFAULT_KINDS", "ApiError", "FakeApi", "Fault", "JsonObject", "Kind", "RecordedRequest", "Token", "User"]
