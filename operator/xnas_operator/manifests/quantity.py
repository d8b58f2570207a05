"""Kubernetes' quantities of memory as bytes."""

from __future__ import annotations

import re
from typing import Any

_FORM = re.compile(r"^\+?(\d+(?:\.\d*)?|\.\d+)(?:(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E)|[eE]([+-]?\d+))?$")
_FACTORS = {
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: 1000.0**power for power, letter in enumerate("kMGTPE", start=1)},
    "m": 0.001,
}


def memory_bytes(quantity: Any) -> int | None:
    """Return the bytes of a quantity such as "1Gi", "512M", 1073741824 or "1e9"; None if it is no quantity."""
    found = _FORM.match(str(quantity).strip())
    if found is None or isinstance(quantity, bool):
        return None
    number, suffix, exponent = found.groups()
    return int(float(number) * _FACTORS.get(suffix, 1.0) * 10.0 ** int(exponent or 0))
