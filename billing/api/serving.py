"""The API role: HTTP and gRPC in one process, until it is asked to stop; then both drain."""

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import uvicorn
from fastapi import FastAPI

from billing.api.app import create_app
from billing.api.metrics import ApiMetrics
from billing.api.routes.common import Services
from billing.api.rpc_server import RpcServer
from billing.api.rpc_services import rpc_services
from billing.api.security import Guard
from billing.api.wire import Bounded, connections_possible, protocol
from billing.errors import Unavailable
from billing.flows.service.credit import CreditApi
from billing.flows.service.credit_notes import CreditNoteApi
from billing.flows.service.customers import CustomerApi
from billing.flows.service.invoices import InvoiceApi
from billing.flows.service.payments import PaymentApi
from billing.flows.service.usage import UsageApi
from billing.listening import refuse_every_interface
from billing.workers.daemons import charges, refunds
from billing.workers.runtime.health import ReadinessCheck
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.peppers import pepper
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS: Final = 5
_BACKLOG: Final = 512


class Api:
    """Both servers. `http_port` and `rpc.port` say where they listen."""

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics) -> None:
        settings = runtime.settings
        counted = ApiMetrics(metrics.registry)
        services = _services(runtime, metrics, counted)
        guard = Guard(
            runtime.engine,
            runtime.clock,
            pepper(settings),
            settings.api.rate_per_second,
            settings.api.rate_burst,
        )
        self._outcomes = runtime.outcomes
        self._stopped = threading.Event()
        self._arrival_seconds = settings.api.arrival_timeout.total_seconds()
        # Longer than a call to the provider may take, so that a charge that has begun is answered.
        self._grace_seconds = settings.longest_call.total_seconds() + 5
        refuse_every_interface(settings.api.host, what="the API", setting="api.host")
        self._connections_max = connections_possible(settings.api.connections_max)
        self.app = create_app(runtime, metrics, services, guard)
        self._listener = _listen(settings.api.host, settings.api.port)
        try:
            self.rpc = RpcServer(
                rpc_services(services),
                guard=guard,
                metrics=counted,
                host=settings.api.host,
                port=settings.api.grpc_port,
                threads=settings.api.threads,
                message_bytes_max=settings.api.body_bytes_max,
                arrival_seconds=self._arrival_seconds,
                connections_max=self._connections_max,
            )
        except BaseException:
            self._listener.close()
            raise
        self.http_port: int = self._listener.getsockname()[1]
        self.http_url = f"http://{settings.api.host}:{self.http_port}"

    def run(self) -> None:
        """Serve until `stop`, then finish the requests in work."""
        bounds = protocol(
            arrival_seconds=self._arrival_seconds,
            taking_seconds=self._arrival_seconds,
            connections_max=self._connections_max,
        )
        server = _HttpServer(self.app, bounds, self._grace_seconds)
        http = threading.Thread(target=server.run, args=([self._listener],), name="http")
        http.start()
        self.rpc.start()
        logger.info("the API listens: HTTP on %s, gRPC on %s", self.http_url, self.rpc.address)
        try:
            while http.is_alive() and not self._stopped.wait(0.5):
                self._outcomes.held()
            if not self._stopped.is_set():
                raise Unavailable("the HTTP server ended by itself", remedy="its log says why")
        finally:
            self._stopped.set()
            server.should_exit = True
            self.rpc.stop(self._grace_seconds)
            http.join()
            self._listener.close()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stopped.set()

    def draining(self) -> str | None:
        """Return why this process should get no new requests, or None."""
        return "it is being stopped" if self._stopped.is_set() else None


@dataclass(frozen=True)
class ThreadWorker:
    """A worker's jobs, done by the thread that answers."""

    runtime: Runtime
    metrics: ProcessMetrics

    def charge(self, payment_id: UUID) -> None:
        """Make the step that a payment is due for."""
        charges.charge(self.runtime, self.metrics, payment_id)

    def refund(self, refund_id: UUID) -> None:
        """Send a refund that is due."""
        refunds.refund(self.runtime, self.metrics, refund_id)


def _services(runtime: Runtime, metrics: ProcessMetrics, counted: ApiMetrics) -> Services:
    return Services(
        runtime.engine,
        PaymentApi(runtime.context, ThreadWorker(runtime, metrics)),
        CustomerApi(runtime.context, runtime.outcomes.held),
        CreditApi(runtime.context),
        CreditNoteApi(runtime.context),
        InvoiceApi(runtime.context),
        UsageApi(runtime.context),
        counted,
    )


class _HttpServer(uvicorn.Server):
    """Uvicorn without its own handling of signals: the role has one."""

    def __init__(self, app: FastAPI, http: type[Bounded], grace_seconds: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(grace_seconds),
            )
        )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off for each connection.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"can't listen on {host}:{port}: {error.strerror}",
            remedy="free the port, or set another one (0 takes any) as api.port",
        ) from None
    listener.listen(_BACKLOG)
    return listener


def work(
    runtime: Runtime, metrics: ProcessMetrics
) -> tuple[Callable[[], None], Callable[[], None], dict[str, ReadinessCheck]]:
    """Return the work of the role `api`, the function that stops it, and its readiness check."""
    api = Api(runtime, metrics)
    return api.run, api.stop, {"draining": api.draining}
