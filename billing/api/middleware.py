"""The request guard: checks of every HTTP request, before any handler runs and after all of them.

    in    the API key is recognised, its rate held, size and time of arrival bounded, card
          numbers refused
    out   security headers and a request id on every answer; no traceback, whatever was raised

Only webhooks pass without a key: their handler reads the body and checks its signature.
"""

import logging
import time
from typing import Any, Final
from urllib.parse import parse_qsl

import anyio
import structlog
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing import tracing
from billing.api import json_body, problems, usage_body
from billing.api.answers import HEADERS, REQUEST_ID
from billing.api.cards import refuse_in_json
from billing.api.metrics import ApiMetrics
from billing.api.problems import Problem, Refused
from billing.api.security import CHALLENGE, Guard
from billing.api.wire import late
from billing.errors import BillingError
from billing.ids import new_id
from billing.pan import refuse_card_number

logger = logging.getLogger(__name__)

WEBHOOKS: Final = "/v1/webhooks/"
ADMITTING_THREADS: Final = 4
DISCARDED_MAX: Final = 65_536
"""The rest of a refused request is read, and not kept, up to so many bytes; else it is cut off."""
# What comes after such a request can't be told from it, or isn't read.
_HANG_UP: Final = frozenset({408, 413})
_ONCE: Final = ("authorization", "content-length", "content-type", "idempotency-key")


def tell(problem: Problem) -> JSONResponse:
    """Return a problem as an answer."""
    headers = problem.http_headers()
    if problem.kind.status == 401:
        headers["www-authenticate"] = CHALLENGE
    if problem.kind.status in _HANG_UP:
        headers["connection"] = "close"
    return JSONResponse(
        problem.body(), problem.kind.status, headers, media_type=problems.CONTENT_TYPE
    )


class RequestGuard:
    """The outermost layer of the application: every HTTP request passes it first."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        guard: Guard,
        metrics: ApiMetrics,
        body_bytes_max: int,
        arrival_seconds: float,
    ) -> None:
        self._app = app
        self._guard = guard
        self._metrics = metrics
        self._body_bytes_max = body_bytes_max
        self._arrival_seconds = arrival_seconds
        # Threads of their own, so that refusals don't wait for charges at the provider.
        self._admitting = anyio.CapacityLimiter(ADMITTING_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # websockets: there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        body = _Incoming(receive, Headers(scope=scope), self._arrival_seconds)
        visit = _Visit(send, body)
        began = time.perf_counter()
        parent = tracing.coming_from(body.headers)
        with (
            structlog.contextvars.bound_contextvars(request_id=visit.request_id),
            tracing.span("api request", parent, request=visit.request_id) as span,
        ):
            try:
                await self._serve(scope, body, visit)
            except Exception as error:  # noqa: BLE001  the last place there is
                await self._failed(error, scope, receive, visit)
            route = getattr(scope.get("route"), "path", None)
            span.set(method=scope["method"], route=route, status=visit.status)
        self._metrics.http(scope["method"], route, visit.status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, incoming: "_Incoming", visit: "_Visit") -> None:
        headers = Headers(scope=scope)
        _refuse_ambiguous(headers)
        if scope["path"].startswith(WEBHOOKS):
            await self._app(scope, incoming.receive, visit.send)
            return
        visitor = await to_thread.run_sync(
            self._guard.admit, headers.get("authorization"), limiter=self._admitting
        )
        scope.setdefault("state", {})["visitor"] = visitor
        limit = self._body_bytes_max
        if scope["path"] == usage_body.PATH:
            limit = max(limit, usage_body.BYTES_MAX)
        body = await _read(incoming.receive, headers, limit)
        _refuse_cards(scope, headers, body)
        await self._app(scope, _once_more(body, incoming.receive), visit.send)

    async def _failed(
        self, error: Exception, scope: Scope, receive: Receive, visit: "_Visit"
    ) -> None:
        problem = problems.of_error(error)
        if problem is None:
            logger.exception("a request failed: %s %s", scope["method"], scope["path"])
            problem = problems.internal()
        elif not isinstance(error, Refused | BillingError):
            logger.warning("a request failed: %s", error)
        if not visit.started:
            self._metrics.refused(problem.kind.code)
            await tell(problem)(scope, receive, visit.send)


class _Incoming:
    """The body of one request, which has to be whole in time."""

    def __init__(self, receive: Receive, headers: Headers, seconds: float) -> None:
        self._receive = receive
        self.headers = headers
        self._until = anyio.current_time() + seconds
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.whole = not has_body

    async def receive(self) -> Message:
        """Return the next part. Raises `Refused` when it is late."""
        if self.whole:
            return await self._receive()
        try:
            with anyio.fail_after(self._until - anyio.current_time()):
                message = await self._receive()
        except TimeoutError:
            raise late() from None
        self.whole = not message.get("more_body", False)
        return message

    async def discard(self) -> bool:
        """Read the rest and keep nothing of it; tell whether all of it came."""
        read = 0
        while not self.whole and read <= DISCARDED_MAX:
            try:
                message = await self.receive()
            except Refused:
                return False
            if message["type"] == "http.disconnect":
                return False
            read += len(message.get("body", b""))
        return self.whole


class _Visit:
    """One request's way out."""

    def __init__(self, send: Send, incoming: _Incoming) -> None:
        self._send = send
        self._incoming = incoming
        self.request_id = str(new_id())
        self.started = False
        self.status = 500

    async def send(self, message: Message) -> None:
        """Pass an answer on, with our headers added.

        A connection whose request wasn't read to its end is closed after the answer.
        """
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers[REQUEST_ID] = self.request_id
            if headers.get("connection") != "close" and not await self._incoming.discard():
                headers["connection"] = "close"
        await self._send(message)


async def _read(receive: Receive, headers: Headers, limit: int) -> bytes:
    """Return the whole body. Raises `Refused` when it is too large, before reading on."""
    too_large = Refused("body_too_large", f"a request may have {limit} bytes", limit=limit)
    declared = headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused("malformed_request", "the request ended before its body did")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _once_more(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read to whoever reads next."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _refuse_ambiguous(headers: Headers) -> None:
    """Check that there is one way to read the headers. Raises `Refused`.

    Of a header that comes twice, one program takes the first and another the last; of a length
    and a transfer encoding, either (RFC 9112, 6.1).
    """
    for name in _ONCE:
        if len(headers.getlist(name)) > 1:
            raise Refused(
                "malformed_request",
                f"the header {name} comes more than once",
                where=name,
                headers={"connection": "close"},
            )
    if "content-length" in headers and "transfer-encoding" in headers:
        raise Refused(
            "malformed_request",
            "a request has a Content-Length or a Transfer-Encoding, not both",
            headers={"connection": "close"},
        )


def _refuse_cards(scope: Scope, headers: Headers, body: bytes) -> None:
    """Check each part of a request whose text might be stored. Raises `CardNumberRefused`."""
    refuse_card_number(scope["path"], "path")
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        refuse_card_number(f"{name}|{value}", "query")
    refuse_card_number(headers.get("idempotency-key", ""), "Idempotency-Key")
    # What is kept of usage is looked at event by event: one that is refused holds up no other.
    if body and scope["path"] != usage_body.PATH:
        refuse_in_json(_parsed(headers, body))


def _parsed(headers: Headers, body: bytes) -> Any:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("unsupported_media_type", "send application/json")
    return json_body.parse(body)
