"""The role `console`: pages over HTTP until it is asked to stop, then it answers what has begun."""

import logging
import socket
import threading
from collections.abc import Callable
from typing import Final

import uvicorn
from fastapi import FastAPI

from billing.console.app import create_app
from billing.console.console import Console
from billing.console.logins import Logins
from billing.console.metrics import ConsoleMetrics
from billing.console.requests import HOME
from billing.errors import Unavailable
from billing.listening import refuse_every_interface
from billing.workers.runtime.health import ReadinessCheck
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.peppers import pepper
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 30
_BACKLOG: Final = 128


class ConsoleServer:
    """The server of the pages. `url` says where they are."""

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics) -> None:
        settings = runtime.settings.console
        counted = ConsoleMetrics(metrics.registry)
        logins = Logins(runtime.engine, runtime.clock, pepper(runtime.settings), settings, counted)
        refuse_every_interface(settings.host, what="the console", setting="console.host")
        self._stopped = threading.Event()
        self._connections_max = settings.connections_max
        self.app = create_app(Console(runtime), logins, counted)
        self._listener = _listen(settings.host, settings.port)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.base = f"http://{host}:{self._listener.getsockname()[1]}"
        self.url = settings.url.rstrip("/") + HOME if settings.url else self.base + HOME

    def run(self) -> None:
        """Serve until `stop`, then finish the requests in work."""
        server = _ConsoleServer(self.app, self._connections_max)
        http = threading.Thread(target=server.run, args=([self._listener],), name="http")
        http.start()
        logger.info("the console is at %s", self.url)
        try:
            while http.is_alive() and not self._stopped.wait(0.5):
                pass
            if not self._stopped.is_set():
                raise Unavailable("the HTTP server ended by itself", remedy="its log says why")
        finally:
            self._stopped.set()
            server.should_exit = True
            http.join()
            self._listener.close()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stopped.set()

    def draining(self) -> str | None:
        """Return why this process should get no new requests, or None."""
        return "it is being stopped" if self._stopped.is_set() else None


class _ConsoleServer(uvicorn.Server):
    """Uvicorn without its own handling of signals: the role has one."""

    def __init__(self, app: FastAPI, connections_max: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                limit_concurrency=connections_max,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"can't listen on {host}:{port}: {error.strerror}",
            remedy="free the port, or set another one (0 takes any) as console.port",
        ) from None
    listener.listen(_BACKLOG)
    return listener


def work(
    runtime: Runtime, metrics: ProcessMetrics
) -> tuple[Callable[[], None], Callable[[], None], dict[str, ReadinessCheck]]:
    """Return the work of the role `console`, the function that stops it, and its check."""
    console = ConsoleServer(runtime, metrics)
    return console.run, console.stop, {"draining": console.draining}
