"""A provider that talks: the sandbox, with a card number put into every text people may write.

It stands in front of the sandbox and passes everything on. In what comes back of its API, words
for people, names, metadata and what a card is recognised by say a card number; ids, kinds and
states stay, or nothing would go on.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

import urllib3

from tests.cards.spelled import AMEX, VISA

SAID: Final = f"the card {VISA} of Ada"
WORDS: Final = frozenset(
    {"message", "description", "name", "email", "phone", "brand", "display_brand", "seller_message",
     "failure_message", "statement_descriptor", "receipt_email", "nickname", "reason_detail",
     "customer_purchase_ip", "uncategorized_text"}
)  # fmt: skip
HOP: Final = frozenset({"content-length", "transfer-encoding", "connection", "server", "date"})


def spoilt(value: Any) -> Any:
    """Return JSON with a card number in every text that people may have written."""
    if isinstance(value, list):
        return [spoilt(part) for part in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {
        name: SAID if name in WORDS else spoilt(part) for name, part in value.items()
    }
    if "last4" in made:
        made["last4"] = VISA
    if isinstance(made.get("metadata"), dict):
        made["metadata"] |= {"note": SAID, AMEX: "3782 822463 10005"}
    return made


class Indiscreet:
    """A server of its own; `said` counts the answers in which a card number was put."""

    def __init__(self, sandbox_url: str) -> None:
        self.said = 0
        self._pool = urllib3.PoolManager(maxsize=32)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                answer = outer._pool.request(
                    self.command,
                    sandbox_url + self.path,
                    body=self.rfile.read(length) if length else None,
                    headers={k: v for k, v in self.headers.items() if k.lower() != "host"},
                    retries=False,
                    redirect=False,
                )
                content = answer.data
                if self.path.startswith("/v1/"):
                    content = json.dumps(spoilt(json.loads(content))).encode()
                    outer.said += VISA.encode() in content
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815  the server's names

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: what is said here isn't the engine's."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._pool.clear()
