"""The gRPC server: health, reflection and the services, in an event loop of its own thread.

Every call but the health check needs an API key, reflection too. A call's deadline is the client's:
a charge that has begun goes on after it, and a call with the same idempotency key returns its
outcome.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from billing.api.generated.perennial.v1 import payments_pb2
from billing.api.metrics import ApiMetrics
from billing.api.rpc_calls import HEALTH, EveryCall
from billing.api.rpc_health import NOT_SERVING, SERVING, HealthService
from billing.api.security import Guard
from billing.errors import Unavailable
from billing.flows.service.api_keys import Scope

SERVICE: Final = payments_pb2.DESCRIPTOR.services_by_name["PaymentService"].full_name
STREAMS_MAX: Final = 128
"""The number of calls that one connection may have open."""
IDLE_MS: Final = 300_000
"""A connection without a call is closed after so many milliseconds."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServedService:
    """A service: what answers its calls, what adds that to a server, and each method's scope."""

    descriptor: ServiceDescriptor
    servicer: object
    add: Callable[[Any, grpc.aio.Server], None]
    scopes: Mapping[str, Scope]

    def scopes_by_path(self) -> Mapping[str, Scope]:
        """Return the scope that each method needs, by its path."""
        assert self.scopes.keys() == {method.name for method in self.descriptor.methods}
        name = self.descriptor.full_name
        return {f"/{name}/{method}": scope for method, scope in self.scopes.items()}


class RpcServer:
    """One gRPC server. `port=0` takes a free one; `port` says which."""

    def __init__(
        self,
        services: Sequence[ServedService],
        *,
        guard: Guard,
        metrics: ApiMetrics,
        host: str,
        port: int,
        threads: int,
        message_bytes_max: int,
        arrival_seconds: float,
        connections_max: int,
    ) -> None:
        self._calls = EveryCall(
            guard,
            metrics,
            scopes={
                path: scope for each in services for path, scope in each.scopes_by_path().items()
            },
            arrival_seconds=arrival_seconds,
            threads=threads,
        )
        self._options: Final = [
            ("grpc.max_receive_message_length", message_bytes_max),
            ("grpc.max_metadata_size", 16_384),
            ("grpc.max_concurrent_streams", STREAMS_MAX),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            ("grpc.max_allowed_incoming_connections", connections_max),
            # Who connects and says nothing has as long as a message; gRPC waits a minute and more.
            ("grpc.server_handshake_timeout_ms", round(arrival_seconds * 1000)),
            ("grpc.so_reuseport", 0),
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc", daemon=True)
        self._thread.start()
        try:
            self.port: int = self._run(self._listen(services, f"{host}:{port}"))
        except RuntimeError:
            self._end()
            raise Unavailable(
                f"can't listen on {host}:{port}",
                remedy="free the port, or set another one (0 takes any) as api.grpc_port",
            ) from None
        self.address = f"{host}:{self.port}"

    def start(self) -> None:
        """Serve from now on."""
        self._run(self._start())

    def stop(self, grace_seconds: float) -> None:
        """Accept no new calls, and finish those in work."""
        self._run(self._stop(grace_seconds))
        self._end()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self, services: Sequence[ServedService], address: str) -> int:
        self._server = grpc.aio.server(interceptors=[self._calls], options=self._options)
        for each in services:
            each.add(each.servicer, self._server)
        names = [each.descriptor.full_name for each in services]
        self._health = HealthService(("", *names))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*names, HEALTH, reflection.SERVICE_NAME), self._server)
        return self._server.add_insecure_port(address)

    async def _start(self) -> None:
        await self._server.start()
        self._health.set(SERVING)

    async def _stop(self, grace_seconds: float) -> None:
        self._health.set(NOT_SERVING)
        await self._server.stop(grace_seconds)
        # A call ends in the server before its task does, and a task that the loop forgets logs an
        # error.
        ending = asyncio.all_tasks() - {asyncio.current_task()}
        if ending:
            await asyncio.wait(ending, timeout=grace_seconds)

    def _end(self) -> None:
        self._calls.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
