"""The gRPC side of SearchService: who calls, may they, within which time, and what is answered if something fails.

It decides nothing: `methods` answers requests. Nothing of a search is looked at before the caller was found to have
the method's verb in the request's namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import NoReturn

import grpc
import structlog
from google.protobuf.message import Message

from xnas_core.errors import XnasError
from xnas_core.service.codes import REASON_KEY, code_of, sentence_of
from xnas_core.service.errors import DeadlineError, ForbiddenError, ServiceError, TooLargeError
from xnas_core.service.interface import Authorizer, Caller, SearchBackend
from xnas_core.service.methods import METHODS, Calls, Method, Streaming, Unary
from xnas_core.service.values import MAX_MESSAGE_BYTES
from xnas_core.service.wire import SERVICE, parse

_log = structlog.get_logger(__name__)
Context = grpc.aio.ServicerContext[bytes, bytes]


class SearchService:
    """Serves callers; give `handlers()` to a `grpc.aio` server whose options bound messages and allow pings.

    Args:
        backend: where searches are.
        authorizer: who may do what.
        call_seconds: what a unary call may take, if its caller does not set an earlier deadline.
        sign_of_life_seconds: how often a watch says something at least. The caller's rights are looked at again then.
        pause_seconds: what a watch waits between two rounds; what happens meanwhile is told together.
    """

    def __init__(
        self,
        backend: SearchBackend,
        authorizer: Authorizer,
        *,
        call_seconds: float = 60.0,
        sign_of_life_seconds: float = 15.0,
        pause_seconds: float = 0.1,
    ) -> None:
        self._authorizer = authorizer
        self._calls = Calls(backend, sign_of_life_seconds, pause_seconds)
        self._call_seconds = call_seconds

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the methods, for a server."""
        # Bytes in, bytes out: what cannot be parsed is answered with a sentence instead of a broken call.
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(partial(self._unary, method, method.unary))
                for name, method in METHODS.items()
                if method.unary is not None
            }
            | {
                name: grpc.unary_stream_rpc_method_handler(partial(self._stream, method, method.streaming))
                for name, method in METHODS.items()
                if method.streaming is not None
            },
        )

    async def _unary(self, method: Method, run: Unary, data: bytes, context: Context) -> bytes:
        try:
            async with asyncio.timeout(self._call_seconds):
                request, caller = await self._admit(method, data, context)
                return _bounded(await run(self._calls, request, caller))
        except TimeoutError:
            failure: XnasError = DeadlineError(f"no answer was found within {self._call_seconds:g} s; try again later")
        # Whatever it is, the caller gets an answer and the log the details.
        except Exception as error:  # noqa: BLE001
            failure = _explained(error)
        return await _abort(context, failure)

    async def _stream(self, method: Method, run: Streaming, data: bytes, context: Context) -> None:
        try:
            request, _ = await self._admit(method, data, context)
            recheck = partial(self._admit, method, data, context)
            async with contextlib.aclosing(run(self._calls, request, recheck)) as answers:
                async for answer in answers:
                    await context.write(_bounded(answer))
            return
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            _log.debug("the reader of a stream is gone", error=str(error))
            return
        # As above.
        except Exception as error:  # noqa: BLE001
            failure = _explained(error)
        await _abort(context, failure)

    async def _admit(self, method: Method, data: bytes, context: Context) -> tuple[Message, Caller]:
        """Return request and caller; raise UnauthenticatedError, ForbiddenError or InvalidInputError."""
        caller = await self._authorizer.authenticate(_metadata(context))
        request = parse(method.request, data)
        namespace, name = method.target(request)
        if not await self._authorizer.allowed(caller, method.verb, namespace, name):
            where = f"in namespace {namespace!r}" if namespace else "in all namespaces"
            raise ForbiddenError(
                f"{caller.username!r} may not {method.verb} architecturesearches.xnas.dev {where}; ask for a role that "
                "has this verb"
            )
        if method.verb in ("create", "update", "delete"):
            # The API server's audit log will name the operator (docs/adr/0006).
            _log.info("change", verb=method.verb, namespace=namespace, search=name, caller=caller.username)
        return request, caller


def _metadata(context: Context) -> Mapping[str, str]:
    pairs = context.invocation_metadata() or ()
    return {str(key).lower(): value for key, value in pairs if isinstance(value, str)}


def _bounded(answer: Message) -> bytes:
    data = answer.SerializeToString()
    if len(data) > MAX_MESSAGE_BYTES:
        raise TooLargeError(f"the answer has {len(data)} bytes, over the bound of a message; ask for a smaller page")
    return data


def _explained(error: Exception) -> XnasError:
    if isinstance(error, XnasError):
        return error
    _log.error("a call failed in a way that nobody foresaw", exc_info=error)
    return ServiceError("the service met an unexpected error; its log has the details")


async def _abort(context: Context, failure: XnasError) -> NoReturn:
    await context.abort(code_of(failure), sentence_of(failure), ((REASON_KEY, failure.reason),))
    raise AssertionError("abort returned")
