"""Addresses of objects in a store: s3://BUCKET/KEY, and nothing that could be read in two ways."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xnas_core.errors import InvalidInputError

PATTERN = r"^s3://[a-z0-9][a-z0-9.-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)+$"
"""No "%", no empty part, and no part that begins with a dot: what is compared with a prefix is what is signed."""
FORM = "write s3://BUCKET/KEY, the key of letters, digits, '.', '_', '-' and single '/', no part beginning with '.'"
_WHOLE = re.compile(PATTERN)


@dataclass(frozen=True, slots=True)
class S3Address:
    """One object: the bucket's name, and the key without a leading slash."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Address:
        """Read s3://BUCKET/KEY.

        Raises:
            InvalidInputError: it has another form.
        """
        # fullmatch: "$" alone would let a line break at the end pass.
        if _WHOLE.fullmatch(text) is None:
            raise InvalidInputError(f"{text[:200]!r} is no address of an object in a store: {FORM}")
        bucket, _, key = text.removeprefix("s3://").partition("/")
        return cls(bucket, key)
