"""One connection: read requests, write answers, and cut the line when a fault says so.

Requests are parsed here and not by `http.server`, whose header parsing takes longer than
the whole of a charge.
"""

import contextlib
import socket
import socketserver
import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from billing.sandbox.errors import Reply, error_body
from billing.sandbox.http import Delivery, HttpAnswer, HttpRequest, json_answer

_LINE_MAX = 65_536
_HEADERS_MAX = 100
_BODY_MAX = 1_048_576


class Owner(Protocol):
    """What a connection needs of its server."""

    def respond(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to a request."""
        ...

    def working(self) -> contextlib.AbstractContextManager[None]:
        """Mark a request as being worked on, so that stopping waits for it."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether connections are to be closed after the request at hand."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server runs."""
        ...


class BadRequest(Exception):
    """The bytes on the line are no request the sandbox reads."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, error_body("invalid_request_error", message))


class Connection(socketserver.StreamRequestHandler):
    """Serve one keep-alive connection until either side closes it."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer requests one after another."""
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            while self._serve_one():
                pass

    def _serve_one(self) -> bool:
        owner: Owner = self.server.owner  # type: ignore[attr-defined]  # set by server.py
        try:
            request = self._read()
        except BadRequest as error:
            self.request.sendall(json_answer(error.reply).encoded())
            return False
        if request is None:
            return False
        with owner.working():
            self._deliver(owner, owner.respond(request))
        wanted = request.headers.get("connection", "").lower() != "close"
        return self._open and wanted and not owner.stopping

    def _read(self) -> HttpRequest | None:
        line = self.rfile.readline(_LINE_MAX)
        if not line.strip():
            return None
        words = line.decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400, "Malformed request line.")
        headers = dict(self._read_headers())
        if headers.get("expect", "").lower() == "100-continue":
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._read_body(headers)
        path, _, query = words[1].partition("?")
        return HttpRequest(words[0], path, query, headers, body)

    def _read_headers(self) -> Iterator[tuple[str, str]]:
        for _ in range(_HEADERS_MAX):
            line = self.rfile.readline(_LINE_MAX)
            if line in (b"\r\n", b"\n"):
                return
            if not line:
                raise ConnectionResetError
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()
        raise BadRequest(431, "Too many headers.")

    def _read_body(self, headers: dict[str, str]) -> str:
        if "transfer-encoding" in headers:
            raise BadRequest(411, "Send a Content-Length.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _BODY_MAX:
            raise BadRequest(413, "The request body is too large.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionResetError
        return body.decode("utf-8", "replace")

    def _deliver(self, owner: Owner, answer: HttpAnswer) -> None:
        self._open = answer.delivery is Delivery.WHOLE
        deliver: dict[Delivery, Callable[[], Any]] = {
            Delivery.WHOLE: lambda: self._send_whole(answer),
            Delivery.TRUNCATED: lambda: self._send_part(answer),
            Delivery.RESET: self._reset,
            Delivery.HANG: lambda: owner.pause(answer.hang_seconds),
        }
        deliver[answer.delivery]()

    def _send_whole(self, answer: HttpAnswer) -> None:
        self.request.sendall(answer.encoded())
        if answer.file is not None:
            with answer.file.open("rb") as file:
                self.request.sendfile(file)

    def _send_part(self, answer: HttpAnswer) -> None:
        whole = answer.encoded()
        self.request.sendall(whole[: len(whole) - max(1, len(answer.body) // 2)])

    def _reset(self) -> None:
        # Lingering for zero seconds makes close() send RST; rfile holds the socket open.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.rfile.close()
        self.connection.close()
