"""kopf gives up before the Lease is lost, and is never deaf for long once the API server is back."""

from __future__ import annotations

from collections.abc import Iterable

from xnas_operator.resources_watch import kopf_settings
from xnas_operator.settings import LeaderElectionSettings


def test_waits_are_short_and_end_before_the_lease_does() -> None:
    waits = kopf_settings().networking.error_backoffs
    assert isinstance(waits, Iterable)
    waits = list(waits)
    assert max(waits) <= 2
    assert 10 <= sum(waits) < LeaderElectionSettings().lease_duration_seconds


def test_requests_and_watches_have_an_end() -> None:
    settings = kopf_settings()
    assert settings.networking.request_timeout
    assert settings.watching.server_timeout
    assert settings.watching.client_timeout
    assert settings.watching.client_timeout > settings.watching.server_timeout
    assert settings.watching.connect_timeout
