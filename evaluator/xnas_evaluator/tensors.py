"""Tensors as bytes: safetensors with a digest of its own, so that a torn or altered object is noticed."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from xnas_core.errors import IntegrityError

_DIGEST = "digest"
_METADATA = "metadata"


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """Return a safetensors object: the same bytes for the same content.

    Args:
        tensors: by name, on any device.
        metadata: a JSON document that is kept beside them.
    """
    document = json.dumps(dict(metadata), sort_keys=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return _ordered(save(plain, {_METADATA: document, _DIGEST: _digest(plain, document)}))


def _ordered(data: bytes) -> bytes:
    """Return the object with its metadata sorted: the library writes them in the order of a hash table."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    # The format wants the tensors to begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def unpack(data: bytes, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) and the metadata of what `pack` made.

    Args:
        data: the object.
        what: names it in errors.

    Raises:
        IntegrityError: it is torn, altered or something else.
    """
    try:
        tensors = load(data)
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        document, digest = header[_METADATA], header[_DIGEST]
        metadata = json.loads(document)
    except (SafetensorError, struct.error, KeyError, ValueError, TypeError) as error:
        raise IntegrityError(f"{what} is torn or not a safetensors object of ours ({error})") from error
    if not isinstance(metadata, dict) or _digest(tensors, document) != digest:
        raise IntegrityError(f"{what} was altered: its content does not fit its digest")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], document: str) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\n{tensor.dtype}\n{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
