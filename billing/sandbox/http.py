"""What travels between the socket and the gate: requests and answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from pathlib import Path

from billing.sandbox.errors import Reply


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, read to its end; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str


class Delivery(Enum):
    """How much of an answer reaches the client."""

    WHOLE = "whole"
    TRUNCATED = "truncated"  # the connection closes in the middle of the body
    RESET = "reset"  # the connection is reset instead
    HANG = "hang"  # silence, then the connection closes


@dataclass(slots=True)
class HttpAnswer:
    """A status, a body and headers, and how they are to be delivered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    hang_seconds: float = 0.0
    file: Path | None = None  # sent after the headers, instead of `body`
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        """Return the answer as it goes over the wire; of a file, what comes before it."""
        length = len(self.body) if self.file is None else self.file.stat().st_size
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"Content-Type: {self.content_type}")
        lines.append(f"Content-Length: {length}\r\n\r\n")
        return "\r\n".join(lines).encode("latin-1") + self.body


def json_answer(reply: Reply) -> HttpAnswer:
    """Return a reply as an answer."""
    return HttpAnswer(reply.status, json.dumps(reply.body, separators=(",", ":")).encode())
