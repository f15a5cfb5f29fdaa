"""A webhook endpoint that keeps what it gets and answers what it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

from tests.waiting import PATIENCE


@dataclass
class Receiver:
    """What arrived, in order; `answers` are used up one by one, then it is 200.

    The answer of number `wait_with_answer` is given when `go_on` is set.
    """

    url: str = ""
    posts: list[tuple[bytes, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    wait_with_answer: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, body: bytes, signature: str) -> int:
        with self.lock:
            self.posts.append((body, signature))
            number, answer = len(self.posts), self.answers.pop(0) if self.answers else 200
        if number == self.wait_with_answer:
            self.go_on.wait(PATIENCE)
        return answer

    def events(self, secret: str) -> list[stripe.Event]:
        """Return the events, each verified as the SDK does it."""
        return [
            stripe.Webhook.construct_event(body, signature, secret)
            for body, signature in self.posts
        ]

    def types(self, secret: str) -> list[str]:
        return [event.type for event in self.events(secret)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        self.send_response(receiver.take(body, self.headers.get("Stripe-Signature", "")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    server.receiver = receiver  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
