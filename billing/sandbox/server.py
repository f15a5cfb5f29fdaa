"""The sandbox as a server: starts on loopback, stops after the requests it is working on."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from billing.sandbox import vies
from billing.sandbox.account import SandboxAccount
from billing.sandbox.braintree.gate import BraintreeGate
from billing.sandbox.clock import SandboxClock
from billing.sandbox.control import Control, ControlEndpoints
from billing.sandbox.faults import Faults
from billing.sandbox.gate import Gate
from billing.sandbox.handler import Connection
from billing.sandbox.http import HttpAnswer, HttpRequest
from billing.sandbox.idempotency import forget_expired
from billing.sandbox.report_writer import ReportWriter
from billing.sandbox.stats import Stats
from billing.sandbox.store import Store
from billing.sandbox.webhooks.dispatcher import WebhookDispatcher

_DRAIN_SECONDS = 10
_ERRANDS_EVERY_SECONDS = 0.25
_BRAINTREE = ("/merchants/", "/graphql")


class _Listener(ThreadingHTTPServer):
    daemon_threads = False  # so that closing joins the connections' threads
    request_queue_size = 256

    def __init__(self, port: int, owner: "SandboxServer") -> None:
        self.owner = owner
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Connection)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without looking up a host name

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Shut every connection, so that its thread ends."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class SandboxServer:
    """A sandbox over one data directory; also a context manager.

    What it was told survives `stop()`, and `kill -9` of its process; faults don't.
    """

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store = Store(data_dir / "sandbox.sqlite3")
        self._stop = threading.Event()
        self._idle = threading.Condition()
        self._working = 0
        try:
            self._build(data_dir)
            self._listener = _Listener(port, self)
        except BaseException:
            self._store.close()
            raise
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="sandbox", daemon=True
        )
        self._errands = threading.Thread(
            target=self._run_errands, name="sandbox-errands", daemon=True
        )
        self._account.base_url = self.url

    def _build(self, data_dir: Path) -> None:
        faults = Faults()
        self._account = SandboxAccount(self._store, SandboxClock(self._store), data_dir)
        forget_expired(self._store, self._account.clock.now())
        stats = Stats(self._store, faults)
        self._dispatcher = WebhookDispatcher(self._account)
        self._reports = ReportWriter(self._account)
        self._gate = Gate(self._account, faults, stats)
        self._braintree = BraintreeGate(self._account, faults, stats)
        self._control = Control(
            ControlEndpoints(self._account, faults, stats, self._dispatcher, self._reports)
        )

    def _run_errands(self) -> None:
        """Do what the clock sets off, send webhooks and write reports, beside the requests."""
        seen = 0
        while not self._stop.is_set():
            self._account.catch_up()
            self._dispatcher.match_endpoints()
            self._reports.run_pending()
            seen = self._account.outbox.wait(seen, _ERRANDS_EVERY_SECONDS)

    @property
    def port(self) -> int:
        """Return the port listened on."""
        return int(self._listener.server_address[1])

    @property
    def url(self) -> str:
        """Return the base address for the SDK."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()
        self._errands.start()

    def stop(self) -> None:
        """Take no more connections, finish the requests at hand, close everything."""
        if self._thread.is_alive():
            self._listener.shutdown()
        self._stop.set()
        with self._idle:
            self._idle.wait_for(lambda: self._working == 0, timeout=_DRAIN_SECONDS)
        self._account.outbox.announce()
        if self._errands.is_alive():
            self._errands.join(_DRAIN_SECONDS)
        self._dispatcher.close()
        self._listener.hang_up()
        self._listener.server_close()
        self._store.close()

    def __enter__(self) -> "SandboxServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def respond(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to a request."""
        if request.path.startswith("/_sandbox/"):
            return self._control.answer(request)
        if request.path.startswith(vies.PATH):
            return vies.answer(self._account, request)
        if request.path.startswith(_BRAINTREE):
            return self._braintree.answer(request)
        return self._gate.answer(request)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Mark a request as being worked on, so that `stop` waits for it."""
        with self._idle:
            self._working += 1
        try:
            yield
        finally:
            with self._idle:
                self._working -= 1
                self._idle.notify_all()

    @property
    def stopping(self) -> bool:
        """Whether connections are to be closed after the request at hand."""
        return self._stop.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server runs."""
        self._stop.wait(seconds)
