"""The gRPC server: checks of every call, health, and reflection.

Every call but the health check needs an API key, reflection too. A call's deadline is the client's:
a charge that has begun goes on after it, and a call with the same idempotency key returns its
outcome.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from billing.api import problems
from billing.api.cards import refuse_in_message
from billing.api.generated.perennial.v1 import payments_pb2, payments_pb2_grpc
from billing.api.metrics import ApiMetrics
from billing.api.problems import Problem, Refused
from billing.api.security import Guard, Visitor
from billing.errors import BillingError, Unavailable
from billing.ids import new_id

logger = logging.getLogger(__name__)

SERVICE: Final = payments_pb2.DESCRIPTOR.services_by_name["PaymentService"].full_name
HEALTH: Final = health.SERVICE_NAME
visitor: ContextVar[Visitor] = ContextVar("visitor")
"""The caller of the call that this thread works on."""


class RpcServer:
    """One gRPC server. `port=0` takes a free one; `port` says which."""

    def __init__(
        self,
        service: payments_pb2_grpc.PaymentServiceServicer,
        *,
        guard: Guard,
        metrics: ApiMetrics,
        host: str,
        port: int,
        threads: int,
        message_bytes_max: int,
    ) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            interceptors=[_EveryCall(guard, metrics)],
            options=[
                ("grpc.max_receive_message_length", message_bytes_max),
                ("grpc.max_metadata_size", 16_384),
                ("grpc.so_reuseport", 0),
            ],
        )
        payments_pb2_grpc.add_PaymentServiceServicer_to_server(  # type: ignore[no-untyped-call]
            service, self._server
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, HEALTH, reflection.SERVICE_NAME), self._server
        )
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            raise Unavailable(
                f"can't listen on {host}:{port}",
                remedy="free the port, or set another one (0 takes any) as api.grpc_port",
            ) from None
        self.address = f"{host}:{self.port}"

    def start(self) -> None:
        """Serve from now on."""
        self._server.start()
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> None:
        """Accept no new calls, and finish those in work."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()


class _EveryCall(grpc.ServerInterceptor):
    """Key, rate, card numbers and figures. It wraps handlers, which run in the pool's threads."""

    def __init__(self, guard: Guard, metrics: ApiMetrics) -> None:
        self._guard = guard
        self._metrics = metrics

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call; an unknown method stays UNIMPLEMENTED."""
        handler = continuation(handler_call_details)
        name = handler_call_details.method
        if handler is None or name.startswith(f"/{HEALTH}/"):
            return handler
        if handler.unary_unary is not None:
            # On the wire a unary call is a stream of one message. Taken as one, it is refused
            # before its message is waited for: strangers who send none would hold every thread.
            return grpc.stream_unary_rpc_method_handler(
                self._unary(handler.unary_unary, handler.request_deserializer, name),
                response_serializer=handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return handler._replace(stream_stream=self._stream(handler.stream_stream, name))
        raise AssertionError(f"{name} is of a kind nobody wrapped")

    def _unary(
        self, behaviour: Callable[..., Any], read: Callable[[bytes], Message], name: str
    ) -> Callable[..., Any]:
        def call(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            with self._watched(name, context):
                token = visitor.set(self._guard.admit(_authorization(context)))
                try:
                    request = _message(messages, read)
                    refuse_in_message(request)
                    return behaviour(request, context)
                finally:
                    visitor.reset(token)

        return call

    def _stream(self, behaviour: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._watched(name, context):
                self._guard.admit(_authorization(context))
                yield from behaviour(requests, context)

        return call

    @contextmanager
    def _watched(self, name: str, context: grpc.ServicerContext) -> Iterator[None]:
        """Turn an exception into a status, and count the call."""
        request_id = str(new_id())
        context.set_trailing_metadata((("x-request-id", request_id),))
        began, code = time.perf_counter(), grpc.StatusCode.OK
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                yield
            except Exception as error:  # noqa: BLE001  the last place there is
                problem = self._problem(error, name)
                code = problem.kind.grpc
                self._metrics.refused(problem.kind.code)
                _abort(context, problem, request_id)
            finally:
                self._metrics.rpc(name.rpartition("/")[2], code.name, time.perf_counter() - began)

    def _problem(self, error: Exception, name: str) -> Problem:
        problem = problems.of_error(error)
        if problem is None:
            logger.exception("a call failed: %s", name)
            return problems.internal()
        if not isinstance(error, Refused | BillingError):
            logger.warning("a call failed: %s", error)
        return problem


def _message(messages: Iterator[bytes], read: Callable[[bytes], Message]) -> Message:
    try:
        return read(next(messages))
    except (StopIteration, grpc.RpcError):
        raise Refused("malformed_request", "the call ended before its message came") from None
    except DecodeError:
        raise Refused("malformed_request", "the message is none of this method") from None


def _authorization(context: grpc.ServicerContext) -> str | None:
    for key, value in context.invocation_metadata():
        if key == "authorization":
            return value if isinstance(value, str) else value.decode("latin-1")
    return None


def _abort(context: grpc.ServicerContext, problem: Problem, request_id: str) -> None:
    """End a call: the code of the problem goes into the trailing metadata."""
    trailing = [("x-request-id", request_id), ("perennial-code", problem.kind.code)]
    wait = problem.http_headers().get("retry-after")
    if wait is not None:
        trailing.append(("retry-after", wait))
    context.set_trailing_metadata(tuple(trailing))
    remedy = problem.more.get("remedy")
    context.abort(problem.kind.grpc, f"{problem.detail} ({remedy})" if remedy else problem.detail)
