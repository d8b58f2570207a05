"""The browser that some tests of pages need."""

from __future__ import annotations

import pytest

from tests.absent import absent
from tests.report import chromium


@pytest.fixture(scope="session")
def browser_there() -> None:
    """Make sure that there is a browser."""
    if chromium.executable() is None:
        absent("Chromium is not installed")
