"""The checks of every gRPC call: its key, its scope, its time of arrival, card numbers, figures.

They run in the event loop, where a call that waits for its message holds no thread. The handler of
a call runs in a thread once the message is there.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health

from billing import tracing
from billing.api import problems
from billing.api.cards import refuse_in_message
from billing.api.metrics import ApiMetrics
from billing.api.problems import Problem, Refused
from billing.api.security import Guard, Visitor
from billing.api.wire import late
from billing.errors import BillingError
from billing.flows.service.api_keys import Scope
from billing.ids import new_id

logger = logging.getLogger(__name__)

HEALTH: Final = health.SERVICE_NAME
ADMITTING_THREADS: Final = 4
visitor: ContextVar[Visitor] = ContextVar("visitor")
"""The caller of the call that this thread works on."""

Context = grpc.aio.ServicerContext[Any, Any]


class EveryCall(grpc.aio.ServerInterceptor):
    """Wraps the handler of every call.

    `scopes` says which scope a method needs, by its path; the methods of the health service need no
    key, and any key may read reflection.
    """

    def __init__(
        self,
        guard: Guard,
        metrics: ApiMetrics,
        *,
        scopes: Mapping[str, Scope],
        arrival_seconds: float,
        threads: int,
    ) -> None:
        self._guard = guard
        self._metrics = metrics
        self._scopes = scopes
        self._arrival_seconds = arrival_seconds
        self._working = ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        # Threads of their own, so that refusals don't wait for charges at the provider.
        self._admitting = ThreadPoolExecutor(ADMITTING_THREADS, thread_name_prefix="grpc-admit")

    def close(self) -> None:
        """Take no new work; what has begun goes on to its end."""
        self._working.shutdown(wait=False)
        self._admitting.shutdown(wait=False)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call; an unknown method stays UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method
        # On the wire a unary call is a stream of one message. Taken as one, it is refused before
        # its message is waited for, and the wait has an end.
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(handler.unary_unary, handler.request_deserializer, name),
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._watch(handler.unary_stream, handler.request_deserializer, name),
                response_serializer=handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(handler.stream_stream, name),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        raise AssertionError(f"{name} is of a kind nobody wrapped")

    def _unary(
        self, behaviour: Callable[..., Any], read: Callable[[bytes], Message], name: str
    ) -> Callable[..., Any]:
        async def call(messages: AsyncIterator[bytes], context: Context) -> Any:
            async with self._watched(name, context):
                await self._admit(name, context)
                request = await self._message(messages, read)
                if inspect.iscoroutinefunction(behaviour):
                    return await behaviour(request, context)
                work = partial(copy_context().run, _checked, behaviour, request)
                return await asyncio.get_running_loop().run_in_executor(self._working, work)

        return call

    def _watch(
        self, behaviour: Callable[..., Any], read: Callable[[bytes], Message], name: str
    ) -> Callable[..., Any]:
        async def call(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            async with self._watched(name, context):
                await self._admit(name, context)
                request = await self._message(messages, read)
                async for answer in behaviour(request, context):
                    yield answer

        return call

    def _stream(self, behaviour: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with self._watched(name, context):
                await self._admit(name, context)
                async for answer in behaviour(self._in_time(requests), context):
                    yield answer

        return call

    async def _admit(self, name: str, context: Context) -> None:
        """Check the key and its scope, and remember who calls. Raises `Refused`."""
        if name.startswith(f"/{HEALTH}/"):
            return
        admit = partial(self._guard.admit, _authorization(context))
        asking = await asyncio.get_running_loop().run_in_executor(self._admitting, admit)
        scope = self._scopes.get(name)
        if scope is not None:
            asking.needs(scope)
        visitor.set(asking)

    async def _message(
        self, messages: AsyncIterator[bytes], read: Callable[[bytes], Message]
    ) -> Message:
        try:
            async with asyncio.timeout(self._arrival_seconds):
                return read(await anext(messages))
        except TimeoutError:
            raise late() from None
        except (StopAsyncIteration, grpc.RpcError):
            raise Refused("malformed_request", "the call ended before its message came") from None
        except DecodeError:
            raise Refused("malformed_request", "the message is none of this method") from None

    async def _in_time(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield requests, each of which has to follow the one before in time."""
        while True:
            try:
                async with asyncio.timeout(self._arrival_seconds):
                    request = await anext(requests)
            except TimeoutError:
                raise late() from None
            except StopAsyncIteration:
                return
            yield request

    @asynccontextmanager
    async def _watched(self, name: str, context: Context) -> AsyncIterator[None]:
        """Turn an exception into a status, and count the call.

        A call is CANCELLED when its task was. While a stream's next message is awaited, gRPC may
        tell of a caller that went away by the end of the messages, as of one that has no more: such
        a call ends well.
        """
        request_id = str(new_id())
        context.set_trailing_metadata((("x-request-id", request_id),))
        began, code = time.perf_counter(), grpc.StatusCode.CANCELLED
        parent = tracing.coming_from(dict(context.invocation_metadata() or ()))
        method = name.rpartition("/")[2]
        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            tracing.span("api call", parent, request=request_id, method=method) as span,
        ):
            try:
                yield
                code = grpc.StatusCode.OK
            except Exception as error:  # noqa: BLE001  the last place there is
                problem = self._problem(error, name)
                code = problem.kind.grpc
                self._metrics.refused(problem.kind.code)
                await _abort(context, problem, request_id)
            finally:
                span.set(status=code.name)
                self._metrics.rpc(method, code.name, time.perf_counter() - began)

    def _problem(self, error: Exception, name: str) -> Problem:
        problem = problems.of_error(error)
        if problem is None:
            logger.error("a call failed: %s", name, exc_info=error)
            return problems.internal()
        if not isinstance(error, Refused | BillingError):
            logger.warning("a call failed: %s", error)
        return problem


def _checked(behaviour: Callable[..., Any], request: Message) -> Any:
    refuse_in_message(request)
    return behaviour(request, None)


def _authorization(context: Context) -> str | None:
    given = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if len(given) > 1:
        raise Refused("malformed_request", "there is more than one authorization")
    for value in given:
        return value if isinstance(value, str) else value.decode("latin-1")
    return None


async def _abort(context: Context, problem: Problem, request_id: str) -> None:
    """End a call: the code of the problem goes into the trailing metadata."""
    trailing = [("x-request-id", request_id), ("perennial-code", problem.kind.code)]
    wait = problem.http_headers().get("retry-after")
    if wait is not None:
        trailing.append(("retry-after", wait))
    remedy = problem.more.get("remedy")
    told = f"{problem.detail} ({remedy})" if remedy else problem.detail
    await context.abort(problem.kind.grpc, told, tuple(trailing))
