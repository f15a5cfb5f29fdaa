"""A pooler between a client and PostgreSQL, as the wire protocol sees one.

It leaves out the options of the startup packet, as pgbouncer does with
`ignore_startup_parameters = options`, or refuses them, as pgbouncer does without. In session mode
a client keeps one connection of the server; in transaction mode it gets the next one with every
transaction.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Literal

import psycopg

SSL, GSS = 80877103, 80877104
READY = ord("Z")
TOLD = ("server_version", "client_encoding", "standard_conforming_strings", "integer_datetimes")
Mode = Literal["session", "transaction"]


class Pooler:
    """Listens on a port of its own until `close`."""

    def __init__(self, url: str, mode: Mode, size: int, refuses_options: bool) -> None:
        self._refuses_options = refuses_options
        self._mode = mode
        self._free: list[psycopg.Connection[Any]] = [psycopg.connect(url) for _ in range(size)]
        self._all = list(self._free)
        self._lock = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for server in self._all:
            server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _take(self) -> psycopg.Connection[Any]:
        with self._lock:
            self._lock.wait_for(lambda: self._free)
            return self._free.pop()

    def _give_back(self, server: psycopg.Connection[Any]) -> None:
        with self._lock:
            self._free.append(server)
            self._lock.notify()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            self._greet(client)
            server = None
            try:
                while part := client.recv(65_536):
                    if part[:1] == b"X":
                        return
                    server = server or self._take()
                    idle = _forward(part, client, server)
                    if idle and self._mode == "transaction":
                        self._give_back(server)
                        server = None
            finally:
                if server is not None:
                    self._give_back(server)

    def _greet(self, client: socket.socket) -> None:
        while True:
            (length,) = struct.unpack("!i", _exactly(client, 4))
            packet = _exactly(client, length - 4)
            if struct.unpack("!i", packet[:4])[0] not in (SSL, GSS):
                break
            client.sendall(b"N")
        if self._refuses_options and b"options\0" in packet:
            text = "unsupported startup parameter: options"
            client.sendall(_message(b"E", f"SFATAL\0C08P01\0M{text}\0\0".encode()))
            raise EOFError
        server = self._all[0]
        client.sendall(_message(b"R", struct.pack("!i", 0)))
        for name in TOLD:
            value = server.info.parameter_status(name) or ""
            client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
        client.sendall(_message(b"K", struct.pack("!ii", 0, 0)) + _message(b"Z", b"I"))


def _forward(part: bytes, client: socket.socket, server: psycopg.Connection[Any]) -> bool:
    """Send what a client sent to the server, and its answer back; tell whether it is idle then."""
    with socket.socket(fileno=socket.dup(server.fileno())) as line:
        line.setblocking(True)
        line.sendall(part)
        while True:
            head = _exactly(line, 5)
            body = _exactly(line, struct.unpack("!i", head[1:])[0] - 4)
            client.sendall(head + body)
            if head[0] == READY:
                return body == b"I"


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _exactly(line: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        part = line.recv(length - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)


@contextlib.contextmanager
def pooler(url: str, mode: Mode, size: int = 8, *, refuses_options: bool = False) -> Iterator[str]:
    """Yield the URL of a pooler in front of a database."""
    running = Pooler(url, mode, size, refuses_options)
    parts = psycopg.conninfo.conninfo_to_dict(url)
    try:
        yield f"postgresql://{parts['user']}@127.0.0.1:{running.port}/{parts['dbname']}"
    finally:
        running.close()
