"""Exceptions of a task -> how its attempt ended (protocol.md §7)."""

from __future__ import annotations

import errno
import sys
import traceback

from xnas_core.dispatch.messages import bounded
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.tasks import EndReason
from xnas_evaluator.context import NonFiniteError, TaskCancelledError, UnfitError

_FRAMES = 8
"""Innermost frames that a message shows."""
_OURS = (EndReason.INVALID_TASK, EndReason.UNFIT, EndReason.STORE_UNAVAILABLE, EndReason.NON_FINITE)
"""Told in a sentence of ours, which no stack makes clearer."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def explain(error: BaseException) -> tuple[EndReason, str]:
    """Return the reason that the exception is evidence for, and a text for people."""
    reason = _reason(error)
    if reason is EndReason.CANCELLED:
        return reason, "cancelled"
    if reason in _OURS:
        return reason, bounded(_sentence(error))
    frames = "".join(traceback.format_tb(error.__traceback__, limit=-_FRAMES))
    return reason, bounded(f"{_sentence(error)}\n{frames}".rstrip())


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"the disk of {error.filename or 'the output folder'} is full; free some space"
    if isinstance(error, (InvalidInputError, StoreError, UnfitError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _reason(error: BaseException) -> EndReason:
    if isinstance(error, TaskCancelledError):
        return EndReason.CANCELLED
    if isinstance(error, NonFiniteError):
        return EndReason.NON_FINITE
    if isinstance(error, UnfitError):
        return EndReason.UNFIT
    if isinstance(error, InvalidInputError):
        return EndReason.INVALID_TASK
    if isinstance(error, StoreError) or (isinstance(error, OSError) and error.errno in _FULL):
        return EndReason.STORE_UNAVAILABLE
    if isinstance(error, MemoryError):
        return EndReason.OUT_OF_MEMORY
    return _torch_reason(error) or EndReason.EXCEPTION


def _torch_reason(error: BaseException) -> EndReason | None:
    # Only if torch is loaded already: an error of torch cannot come from a process without it.
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(error, torch.OutOfMemoryError):
        return EndReason.OUT_OF_MEMORY
    accelerator = getattr(torch, "AcceleratorError", ())
    text = str(error)
    if isinstance(error, accelerator or ()) or (
        isinstance(error, RuntimeError)
        and text.startswith(("CUDA error", "cuDNN error", "CUBLAS_STATUS", "NCCL error"))
    ):
        return EndReason.DEVICE_ERROR
    # The CPU allocator's own words; it raises a plain RuntimeError.
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in text:
        return EndReason.OUT_OF_MEMORY
    return None
