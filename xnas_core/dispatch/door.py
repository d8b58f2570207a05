"""The door: which search a caller is let in to, and as which evaluator (protocol.md §6.2)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import grpc

from xnas_core import wire
from xnas_core.dispatch.service import Context, EvaluatorService, abort
from xnas_core.errors import XnasError

Refusal = Literal["unauthenticated", "permissionDenied", "unavailable", "failedPrecondition"]
_CODES: Mapping[Refusal, grpc.StatusCode] = {
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "permissionDenied": grpc.StatusCode.PERMISSION_DENIED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "failedPrecondition": grpc.StatusCode.FAILED_PRECONDITION,
}


class CallRefusedError(XnasError):
    """The caller is not let in. Only "unavailable" is worth another try; the sentence goes to the caller."""

    reason = "Refused"

    def __init__(self, refusal: Refusal, sentence: str) -> None:
        super().__init__(sentence)
        self.refusal: Refusal = refusal


@dataclass(frozen=True, slots=True)
class Admission:
    """Where a caller may go.

    Attributes:
        evaluator: the only evaluator id that it may use; None: any.
    """

    service: EvaluatorService
    evaluator: str | None = None


class Door(Protocol):
    """Decides about each call of an evaluator."""

    async def admit(self, peer: str, metadata: Mapping[str, str]) -> Admission:
        """Return the search that the caller may serve.

        Args:
            peer: where the call comes from, as grpc says it ("unix:", "ipv4:10.0.0.1:1234").
            metadata: of the call, keys in lower case.

        Raises:
            CallRefusedError: it may serve none.
        """
        ...


class TokenDoor:
    """The door of one search on one machine: a Unix socket is guarded by its mode, everyone else shows the token."""

    def __init__(self, service: EvaluatorService, token: str | None) -> None:
        self._service = service
        self._token = token

    async def admit(self, peer: str, metadata: Mapping[str, str]) -> Admission:
        """See Door.admit."""
        if self._token is not None and not peer.startswith("unix"):
            sent = metadata.get("authorization", "")
            if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
                raise CallRefusedError(
                    "unauthenticated",
                    "the token is missing or wrong; give the evaluator the token that the search printed or was given",
                )
        return Admission(self._service)


def handlers(door: Door) -> grpc.GenericRpcHandler:
    """Return the methods of EvaluatorService, for a server."""

    async def admit(context: Context) -> Admission:
        metadata = {str(key).lower(): str(value) for key, value in context.invocation_metadata() or ()}
        try:
            return await door.admit(context.peer(), metadata)
        except CallRefusedError as error:
            return await abort(context, _CODES[error.refusal], str(error))

    async def connect(_requests: object, context: Context) -> None:
        admission = await admit(context)
        await admission.service.connect(context, admission.evaluator)

    async def grant(data: bytes, context: Context) -> bytes:
        admission = await admit(context)
        return await admission.service.grant(data, context, admission.evaluator)

    async def grant_data(data: bytes, context: Context) -> bytes:
        admission = await admit(context)
        return await admission.service.grant_data(data, context, admission.evaluator)

    # Bytes in, bytes out: what cannot be parsed is answered with a sentence instead of a broken stream.
    return grpc.method_handlers_generic_handler(
        wire.SERVICE,
        {
            "Connect": grpc.stream_stream_rpc_method_handler(connect),
            "Grant": grpc.unary_unary_rpc_method_handler(grant),
            "GrantData": grpc.unary_unary_rpc_method_handler(grant_data),
        },
    )
