"""The HTTP protocol with two checks that the server lacks.

The head of a request has to arrive in time (the request guard bounds the body), so that a caller
who sends a byte now and then can't keep a connection open. Bytes that aren't HTTP never reach the
application; the protocol answers them with a problem, as all errors.
"""

import asyncio
import json
from contextlib import suppress
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from billing.api.problems import CONTENT_TYPE, Problem, problem

NO_HTTP: Final = problem("malformed_request", "this is no HTTP request")


class Bounded(H11Protocol):
    """The protocol; `arrival_seconds` is the time that a head has."""

    arrival_seconds: float
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

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
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer that this isn't HTTP; the server calls it for bytes it can't read."""
        self._end(NO_HTTP)

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.arrival_seconds, self._end, too_late())

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self, found: Problem) -> None:
        """Answer with a problem, unless an answer has begun, and close the connection."""
        body = json.dumps(found.body()).encode()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]
        answer = h11.Response(status_code=found.kind.status, headers=headers)
        with suppress(h11.LocalProtocolError):
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def protocol(arrival_seconds: float) -> type[Bounded]:
    """Return the protocol in which a request's head has to arrive within that time."""
    return type("Protocol", (Bounded,), {"arrival_seconds": arrival_seconds})


def too_late() -> Problem:
    """Return the problem of a request that doesn't arrive."""
    return problem(
        "request_timeout",
        "the request took too long to arrive",
        remedy="send it again, with the same idempotency key",
    )
