"""HTTP with a deadline that holds for the whole exchange.

A socket timeout bounds one read, so a server that sends a byte now and then can hold a caller for
ever. Here a watchdog thread shuts the socket down when the time is up, which ends any read or
write. It can't cut short the steps before there is a socket: the name look-up (the resolver's own
timeouts) and one connect timeout for each address of the provider.
"""

import http.client
import socket
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from billing.crash_points import CrashPoint, reached

IDLE_SECONDS: Final = 30.0  # a watchdog with nothing to watch ends after this

Failure = Literal["deadline", "timeout", "tls", "connection"]


class TransportError(Exception):
    """No complete answer arrived; whether the request did is unknown."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(f"no complete answer ({failure}: {detail})")
        self.failure = failure


class Deadline:
    """The instant, on the monotonic clock, at which an operation must be over."""

    __slots__ = ("expires",)

    def __init__(self, seconds: float) -> None:
        self.expires = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never less than none."""
        return max(0.0, self.expires - time.monotonic())


class Transport:
    """A pool of keep-alive connections to one server, for any number of threads.

    Each concurrent request has a connection of its own; nothing is ever sent twice and no
    redirect is followed. Make one per process, after forking.
    """

    def __init__(
        self,
        base: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        ca_certs: str | None = None,
        connections: int = 32,
    ) -> None:
        self._base = base
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._watchdog = Watchdog()
        self._manager = _manager(base, ca_certs, connections)
        self._pool = self._manager.connection_from_url(base)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: str | bytes | None,
        deadline: Deadline,
        *,
        reads: bool = False,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Return body, status and case-insensitive headers. Raises: TransportError.

        `reads` says of a request that isn't a GET that it changes nothing.
        """
        reads = reads or method.upper() == "GET"
        assert url.startswith(self._base + "/"), f"{url} is not at {self._base}"
        left = deadline.remaining()
        if left == 0:
            raise TransportError("deadline", "no time left to send")
        timeout = urllib3.Timeout(
            connect=min(self._connect_timeout, left), read=min(self._read_timeout, left)
        )
        watch = self._watchdog.watch(deadline.expires)
        watch.reads = reads
        try:
            with watch:
                response = self._pool.urlopen(
                    method.upper(),
                    url[len(self._base) :],
                    body=body,
                    headers=headers,
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                )
                content = response.data
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as e:
            raise TransportError(_failure(e, watch.expired), type(e).__name__) from e
        if watch.expired:  # the shutdown may have made a partial body look complete
            raise TransportError("deadline", "the answer was still arriving")
        if not reads:
            reached(CrashPoint.ANSWER_READ)
        return content, response.status, response.headers

    def close(self) -> None:
        """Close the idle connections."""
        self._manager.clear()


class Watch:
    """One exchange under watch, and the socket it is using at the moment."""

    __slots__ = ("_watchdog", "expired", "expires", "reads", "sock")

    def __init__(self, watchdog: "Watchdog", expires: float) -> None:
        self._watchdog = watchdog
        self.expires = expires
        self.expired = False
        self.reads = False
        self.sock: socket.socket | None = None

    def __enter__(self) -> "Watch":
        self._watchdog.add(self)
        _current.watch = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _current.watch = None
        self._watchdog.remove(self)


class Watchdog:
    """A thread that shuts down the sockets of exchanges that are past their time.

    It starts with the first exchange and ends when there has been none for a while. Between
    deadlines it sleeps: an exchange in time costs it nothing.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def watch(self, expires: float) -> Watch:
        """Return the context in which an exchange is watched."""
        return Watch(self, expires)

    def add(self, watch: Watch) -> None:
        """Begin to watch."""
        with self._changed:
            self._watches.add(watch)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="gateway-watchdog", daemon=True
                )
                self._thread.start()
            elif watch.expires < self._wakes_at:
                self._changed.notify()

    def remove(self, watch: Watch) -> None:
        """End watching; after this the socket is left alone, as others may use it."""
        with self._changed:
            self._watches.discard(watch)

    def hold(self, watch: Watch, sock: socket.socket | None) -> None:
        """Set the socket to shut down; shut it down at once if the deadline has passed."""
        with self._changed:
            watch.sock = sock
            if watch.expired:
                _shut_down(watch)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for watch in self._watches:
                    if watch.expires <= now and not watch.expired:
                        watch.expired = True
                        _shut_down(watch)
                pending = [w.expires for w in self._watches if not w.expired]
                self._wakes_at = min(pending, default=float("inf"))
                woken = self._changed.wait(self._wakes_at - now if pending else IDLE_SECONDS)
                if not woken and not self._watches:
                    self._thread = None
                    return


_current = threading.local()  # .watch: what the connections of this thread work for


class _Watched(HTTPConnection):
    """Tells the watchdog which socket the exchange uses, a new or a reused one."""

    def connect(self) -> None:
        super().connect()
        self._report()

    def request(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self._report()
        super().request(method, *args, **kwargs)
        watch: Watch | None = getattr(_current, "watch", None)
        self._reads_only = method == "GET" or (watch is not None and watch.reads)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as its class has it
        if not self._reads_only:
            reached(CrashPoint.REQUEST_SENT)
        return super().getresponse()

    def _report(self) -> None:
        watch: Watch | None = getattr(_current, "watch", None)
        if watch is not None:
            watch._watchdog.hold(watch, self.sock)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


def _manager(base: str, ca_certs: str | None, connections: int) -> urllib3.PoolManager:
    """Make the pools, through the proxy that the environment names for a TLS server."""
    parts = urlsplit(base)
    tls = parts.scheme == "https"
    proxy = urllib.request.getproxies().get("https") if tls else None
    if proxy and urllib.request.proxy_bypass(parts.hostname or ""):
        proxy = None
    options: dict[str, Any] = {"maxsize": connections}
    if tls:
        options |= {"cert_reqs": "CERT_REQUIRED", "ca_certs": ca_certs}
    manager = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def _shut_down(watch: Watch) -> None:
    if isinstance(watch.sock, socket.socket):
        # The plain shutdown, also of a TLS socket, whose own one would let the reader
        # take the encrypted rest for the answer.
        with suppress(OSError):
            socket.socket.shutdown(watch.sock, socket.SHUT_RDWR)


def _failure(error: Exception, expired: bool) -> Failure:
    if expired:
        return "deadline"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection"  # refused or unknown host, though urllib3 calls it a timeout, too
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "timeout"
    return "tls" if isinstance(error, urllib3.exceptions.SSLError) else "connection"
