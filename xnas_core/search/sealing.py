"""JSON that is kept in memory: one small document for each candidate and task, tens of thousands of them."""

from __future__ import annotations

from typing import Any

import orjson


def sealed(document: Any) -> bytes:
    """Return the document as JSON, in no more memory than that takes.

    What `orjson.dumps` returns keeps the whole buffer that it was written in, 4 KiB at least.
    """
    return bytes(memoryview(orjson.dumps(document)))
