"""The checkpoint of an attempt, every byte checked against what the attempt reported. No engine, no folder here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST
from xnas_core.errors import IntegrityError, InvalidInputError
from xnas_evaluator import checkpoints
from xnas_evaluator.checkpoints import Checkpoint


class CheckpointMissingError(InvalidInputError):
    """The candidate exists, its checkpoint does not."""

    reason = "CheckpointMissing"


def read_checkpoint(prefix: str, digests: Mapping[str, str], get: Callable[[str], bytes | None]) -> Checkpoint:
    """Return the checkpoint of an attempt, every byte of it checked.

    Args:
        prefix: the attempt's, with a trailing slash; names objects in errors.
        digests: SHA-256 (hex) of manifest and weights by name, as the attempt reported them.
        get: returns an object of the attempt by name, or None if it is absent.

    Raises:
        CheckpointMissingError: one of the two objects is absent.
        IntegrityError: one of them is torn or altered; the message names it.
    """
    content = []
    for name in (CHECKPOINT_MANIFEST, CHECKPOINT):
        data = get(name)
        if data is None:
            raise CheckpointMissingError(f"{prefix}{name} is not there")
        if name in digests and hashlib.sha256(data).hexdigest() != digests[name]:
            raise IntegrityError(f"{prefix}{name} was altered: it does not fit the digest that its attempt reported")
        content.append(data)
    try:
        return checkpoints.read(*content)
    except IntegrityError as error:
        raise IntegrityError(f"{prefix}: {error}") from error
