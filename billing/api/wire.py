"""The HTTP protocol with the bounds that the server lacks.

The head of a request has to arrive in time (the request guard bounds the body), an answer has to be
taken in time, and there are so many connections at most: a caller who sends a byte now and then, or
reads none, can't keep a connection open. Bytes that aren't HTTP never reach the application; the
protocol answers them with a problem, as all errors.
"""

import asyncio
import json
import resource
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from billing.api.answers import HEADERS, REQUEST_ID
from billing.api.problems import CONTENT_TYPE, Problem, Refused, problem
from billing.ids import new_id

NO_HTTP: Final = problem("malformed_request", "this is no HTTP request")
FILES_RESERVED: Final = 96
"""Files that are left to the process for its database, its provider and its log."""


class Bounded(H11Protocol):
    """The protocol. A head has `arrival_seconds`, and an answer to be taken `taking_seconds`.

    `waiting` has the connections that wait for the head of a request, the oldest first. When there
    are more than `connections_max`, the oldest of those is closed, or else the new one.
    """

    arrival_seconds: float
    taking_seconds: float
    connections_max: int
    waiting: dict["Bounded", None]
    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # Each byte that the caller hasn't taken counts, so that the wait for it has an end.
        transport.set_write_buffer_limits(high=0)
        self._bound_the_kernel()
        self._wait_for_head()
        if len(self.connections) > self.connections_max:
            next(iter(self.waiting)).cut_off()

    def data_received(self, data: bytes) -> None:
        """Wait on, unless the head is there."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # between two requests, or within a head
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait until the caller takes what was written."""
        super().pause_writing()
        if self._untaken is None:
            self._untaken = self.loop.call_later(self.taking_seconds, self.cut_off)

    def resume_writing(self) -> None:
        """Stop waiting: everything was taken."""
        self._taken()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request, if there is to be one."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.waiting[self] = None

    def cut_off(self) -> None:
        """Reset the connection."""
        # Else the kernel would keep what wasn't taken, and offer it for minutes.
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer that this isn't HTTP; the server calls it for bytes it can't read."""
        self._end(NO_HTTP)

    def _bound_the_kernel(self) -> None:
        # What the kernel has taken of an answer it offers for minutes, also once we have closed.
        if sys.platform == "linux":
            connection = self.transport.get_extra_info("socket")
            milliseconds = round(self.taking_seconds * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def _wait_for_head(self) -> None:
        self.waiting.setdefault(self)
        if self._late is None:
            self._late = self.loop.call_later(self.arrival_seconds, self._end, too_late())

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _end(self, found: Problem) -> None:
        """Answer with a problem, unless an answer has begun, and close the connection."""
        body = json.dumps(found.body()).encode()
        headers = [
            *((name.encode(), value.encode()) for name, value in HEADERS.items()),
            (REQUEST_ID.encode(), str(new_id()).encode()),
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        answer = h11.Response(status_code=found.kind.status, headers=headers)
        with suppress(h11.LocalProtocolError):
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def protocol(
    *, arrival_seconds: float, taking_seconds: float, connections_max: int
) -> type[Bounded]:
    """Return the protocol with these bounds, for one server."""
    bounds = {
        "arrival_seconds": arrival_seconds,
        "taking_seconds": taking_seconds,
        "connections_max": connections_max,
        "waiting": {},
    }
    return type("Protocol", (Bounded,), bounds)


def connections_possible(wanted: int) -> int:
    """Return how many connections each of two servers may have, of those wanted.

    Raises the process's limit of open files as far as it may be raised, and leaves some to the rest
    of the process: a server that can't accept connections can't answer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        needed = 2 * wanted + FILES_RESERVED
        soft = max(soft, needed if hard == resource.RLIM_INFINITY else min(needed, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, (soft - FILES_RESERVED) // 2))


def too_late() -> Problem:
    """Return the problem of a request that doesn't arrive."""
    return problem(
        "request_timeout",
        "the request took too long to arrive",
        remedy="send it again, with the same idempotency key",
    )


def late() -> Refused:
    """Return what ends a request that doesn't arrive."""
    found = too_late()
    return Refused(found.kind.code, found.detail, **found.more)
