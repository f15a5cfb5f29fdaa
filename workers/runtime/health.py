"""The health pages of a running role (/livez, /readyz, /metrics), and its notices to systemd.

One small HTTP server in a thread, on loopback unless configured otherwise and never on
every interface: the figures are for the machine's own collector, not for the network.
"""

import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from billing.errors import Unavailable
from billing.listening import refuse_every_interface

logger = logging.getLogger(__name__)

CHECKS_SECONDS = 3.0
"""The time that all readiness checks have together: a collector or a balancer doesn't wait long."""
ReadinessCheck = Callable[[], str | None]
"""Returns None when all is well, else the reason why not. An exception counts as a reason."""


class HealthServer:
    """Serves the three pages until stopped. `port=0` takes a free one; `port` says which.

    What a check of `notes` says stands on the readiness page too, and leaves the role ready.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        readiness: Mapping[str, ReadinessCheck] | None = None,
        notes: Mapping[str, ReadinessCheck] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        refuse_every_interface(host, what="the health server", setting="metrics.host")
        checks, remarks = dict(readiness or {}), dict(notes or {})

        class Handler(_Handler):
            pages = _Pages(registry, checks, remarks)

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise Unavailable(
                f"can't listen on {host}:{port}: {error.strerror}",
                remedy="free the port, or set another one (0 takes any) under [metrics]",
            ) from None
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="health", daemon=True
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address in front of the pages."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Serve from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def notify_systemd(state: str) -> bool:
    """Tell systemd "READY=1", "STOPPING=1" or "WATCHDOG=1"; False when systemd didn't start us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # a name in the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError as error:
            logger.warning("systemd doesn't listen: %s", error)
            return False
    return True


class _Pages:
    """What each page says."""

    def __init__(
        self,
        registry: CollectorRegistry,
        checks: Mapping[str, ReadinessCheck],
        notes: Mapping[str, ReadinessCheck],
    ) -> None:
        self._registry = registry
        every = {**checks, **notes}
        self._checks = {name: _OneAtATime(name, check) for name, check in every.items()}
        self._notes = frozenset(notes)

    def get(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/livez":
            return HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n"
        if path == "/readyz":
            return self._ready()
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"/livez /readyz /metrics\n"

    def _ready(self) -> tuple[HTTPStatus, str, bytes]:
        begun = {name: check.begin() for name, check in self._checks.items()}
        wait(begun.values(), timeout=CHECKS_SECONDS)
        reasons = {name: _answer_of(check) for name, check in begun.items()}
        told = {name: reason for name, reason in reasons.items() if reason is not None}
        failed = {name: reason for name, reason in told.items() if name not in self._notes}
        page: dict[str, object] = {"ready": not failed, "failed": failed}
        notes = {name: reason for name, reason in told.items() if name in self._notes}
        body = json.dumps(page | ({"notes": notes} if notes else {})) + "\n"
        status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
        return status, "application/json", body.encode()


class _OneAtATime:
    """A check that may hang: it is asked in a thread, and not again before it has answered."""

    def __init__(self, name: str, check: ReadinessCheck) -> None:
        self._name, self._check = name, check
        self._lock = threading.Lock()
        self._asked: Future[str | None] | None = None

    def begin(self) -> "Future[str | None]":
        """Return the answer to be, of this question or of one that is still open."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                threading.Thread(target=self._ask, args=(self._asked,), daemon=True).start()
            return self._asked

    def _ask(self, asked: "Future[str | None]") -> None:
        asked.set_result(_reason(self._name, self._check))


def _answer_of(asked: "Future[str | None]") -> str | None:
    return asked.result() if asked.done() else f"no answer within {CHECKS_SECONDS:g} seconds"


def _reason(name: str, check: ReadinessCheck) -> str | None:
    try:
        return check()
    except Exception as error:
        logger.exception("the readiness check %s raised", name)
        return type(error).__name__  # its text may hold an address or a password


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without looking up the host's own name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Log in one line that an answer wasn't taken; what else it may be, with its traceback."""
        error = sys.exception()
        if isinstance(error, OSError):
            logger.info("a health page was not taken: %s", error)
        else:
            logger.exception("a health page failed")


class _Handler(BaseHTTPRequestHandler):
    pages: _Pages
    timeout = 5.0  # a silent client doesn't keep a thread

    def do_GET(self) -> None:
        status, kind, body = self.pages.get(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a collector asks several times a minute."""
