"""How torch is set up for a task: threads, repeatability, arithmetic, memory layout."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from xnas_core.api.spec import Precision
from xnas_core.errors import InvalidInputError

_CUDNN: Any = torch.backends.cudnn
"""torch's stubs know the module as it was before it had settings for each operation."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Arithmetic of forward and backward passes on one device.

    Attributes:
        device: where the network lives.
        dtype: of the forward pass; weights stay float32.
        channels_last: memory layout of images and convolution weights.
    """

    device: torch.device
    dtype: torch.dtype
    channels_last: bool

    @property
    def scaled(self) -> bool:
        """Whether gradients need loss scaling."""
        return self.dtype is torch.float16

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


def arithmetic(device: str, precision: Precision) -> Arithmetic:
    """Return the arithmetic for a device.

    `auto` is bfloat16 on CUDA devices that have it, else float32. Images and weights are channels_last everywhere: on
    CUDA it feeds tensor cores, on the CPU a step of nas-bench-201 cells took 13 to 35 % less time.

    Raises:
        InvalidInputError: the device can't do what was asked.
    """
    place = torch.device(device)
    cuda = place.type == "cuda"
    if precision is Precision.FLOAT16 and not cuda:
        raise InvalidInputError("training.precision float16 needs a CUDA device; use auto, float32 or bfloat16")
    if precision is Precision.AUTO:
        dtype = torch.bfloat16 if cuda and torch.cuda.is_bf16_supported() else torch.float32
    else:
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision.value]
    return Arithmetic(place, dtype, channels_last=True)


def prepare(device: str, threads: int) -> None:
    """Set threads and repeatability for this process; call before each task, it is cheap."""
    _keep_freed_memory()
    if torch.get_num_threads() != max(1, threads):
        torch.set_num_threads(max(1, threads))
    if torch.device(device).type == "cuda":
        # Without it, cuBLAS may add in an order that differs between runs (NVIDIA's documentation).
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        # Else cuDNN takes TF32, with 10 bits of mantissa, where float32 was asked for: measures and attributions would
        # differ from the CPU's in the third digit.
        _CUDNN.conv.fp32_precision = "ieee"
        # Not on the CPU, where our operations repeat exactly anyway: the call imports torch's compiler (4 s).
        torch.use_deterministic_algorithms(True, warn_only=True)


def _keep_freed_memory() -> None:
    """Tell glibc to keep up to 1 GiB of freed memory instead of giving every large tensor back to the kernel.

    Fresh pages cost more than small networks' arithmetic: training got 10 to 15 % faster, validation up to 30 %.
    """
    if sys.platform != "linux":
        return
    # From malloc.h; other C libraries have no mallopt or ignore it.
    mmap_threshold, trim_threshold = -3, -1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 1 << 30)
